"""Draw docs/architecture.svg, the picture in README.md: `python docs/architecture.py`."""

from pathlib import Path

PICTURE = Path(__file__).with_name("architecture.svg")

CLIENTS = ("Ainoflow client", "Auravant client", "Genesys client", "Avaamo client")
ROOMS = (  # of a worker, from the connection down
    ("http", "connection, driver, read cache"),
    ("dialects", "one vendor's API each"),
    ("storage", "one method per Lua function"),
    ("redis", "one connection per Redis node"),
)
STEP, BOX = 60, 44  # from one box of a column to the next; its height
WORKER, REDIS = 230, 600  # left edges

STYLE = """<style>
rect { fill: #eef3f8; stroke: #35516e; rx: 6px }
text { fill: #14212e; text-anchor: middle }
path { stroke: #35516e; fill: none; marker-end: url(#tip) }
.outer { fill: #ffffff }
.small { font-size: 12px }
</style>
<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">
<polygon points="0,0 8,4 0,8" fill="#35516e"/></marker></defs>"""


def box(x: int, y: int, width: int, height: int, *lines: str, style: str = "") -> str:
    """Draw a box with lines of text in its middle; every line but the first is small."""
    drawn = [f'<rect x="{x}" y="{y}" width="{width}" height="{height}"{style}/>']
    for number, line in enumerate(lines):
        below = y + height // 2 + 5 + 18 * number - 9 * (len(lines) - 1)
        small = ' class="small"' if number else ""
        drawn.append(f'<text x="{x + width // 2}" y="{below}"{small}>{line}</text>')
    return "\n".join(drawn)


def arrow(x: int, y: int, to_x: int, to_y: int) -> str:
    """Draw an arrow."""
    return f'<path d="M{x},{y} L{to_x},{to_y}"/>'


def draw() -> str:
    """Draw clients, a worker with its rooms, its parent and Redis."""
    top = [STEP * number + 50 for number in range(len(ROOMS))]
    bottom = top[-1] + BOX
    parts = [box(WORKER, 16, 300, bottom, style=' class="outer"')]
    parts.append(f'<text x="{WORKER + 150}" y="38">worker (one process per core)</text>')
    for y, client, (room, does) in zip(top, CLIENTS, ROOMS, strict=True):
        parts += [box(10, y, 150, BOX, client), arrow(160, y + BOX // 2, WORKER + 16, top[0] + BOX // 2)]
        parts.append(box(WORKER + 20, y, 260, BOX, room, does))
    parts += [arrow(WORKER + 150, y + BOX, WORKER + 150, y + STEP - 2) for y in top[:-1]]
    parts.append(arrow(WORKER + 280, top[-1] + BOX // 2, REDIS - 4, top[2] + BOX // 2))
    parts.append(box(REDIS, top[1], 150, BOX + 2 * STEP, "Redis or Valkey", "alone, Sentinel,", "Cluster or embedded"))
    parts.append(box(WORKER, bottom + 44, 300, BOX, "parent process", "ports, health, metrics, access"))
    parts.append(arrow(WORKER + 150, bottom + 44, WORKER + 150, bottom + 20))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {bottom + 100}" font-family="sans-serif" '
        'font-size="14" role="img" aria-label="Clients of four APIs call a worker, which calls Lua functions in Redis">'
    )
    return "\n".join((head, STYLE, *parts, "</svg>")) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw())
