"""nginx with its Lua module: a few lines of Lua in front of Redis's GET and SET, which run in C and LuaJIT.

People would write this by hand instead of a storage service. It has no authentication, no check of JSON, no versions,
no lists and no indexes. It has one worker process, because it has one core, and a pool of connections to Redis. It has
no PATCH; a SET is measured instead, as for Webdis.
"""

from contextlib import ExitStack
from pathlib import Path

from bench.compare.system import System
from bench.compare.workloads import Kind
from bench.compare.wrk import Request
from bench.documents import document
from bench.processes import Child, Unusable, children, free_port, listening, program, said
from bench.redis_server import RedisServer

CONFIG = Path(__file__).with_name("nginx.conf")
PACKAGES = "nginx libnginx-mod-http-lua lua-nginx-redis"
MODULES = Path("/usr/lib/nginx/modules")
NEEDED = (
    MODULES / "ndk_http_module.so",
    MODULES / "ngx_http_lua_module.so",
    Path("/usr/share/lua/5.1/nginx/redis.lua"),
)
LIFETIME = 86_400  # seconds, of values that expire


class Nginx(System):
    name = "nginx+Lua"
    about = "nginx, one worker, ten lines of Lua: Redis's GET and SET over HTTP, and no more (SET stands in for PATCH)"

    def start(self, stack: ExitStack) -> None:
        command = installed()
        self.redis = stack.enter_context(RedisServer(self.directory, self.placement.redis))
        port = free_port()
        config = self.directory / "nginx.conf"
        given = {"MODULES": MODULES, "DIRECTORY": self.directory, "PORT": port, "REDIS": self.redis.port}
        text = CONFIG.read_text()
        for name, value in given.items():
            text = text.replace(f"@{name}@", str(value))
        config.write_text(text)
        command += ["-p", str(self.directory), "-c", str(config), "-e", "stderr"]
        server = stack.enter_context(Child(command, log=self.directory / "log", cores=self.placement.server))
        server.until(lambda: listening(port) and len(children(server.pid)) == 1)
        self.url = f"http://127.0.0.1:{port}"
        self.processes = {"server": [server.pid, *children(server.pid)], "redis": [self.redis.pid]}

    def request(self, kind: Kind, place: str, size: int) -> Request | None:
        path = f"/{place}-KEY"
        match kind:
            case "get":
                return Request("GET", path)
            case "put" | "patch":
                return Request("PUT", path, body=document(size))
            case "put-expiring":
                return Request("PUT", f"{path}?expires={LIFETIME}", body=document(size))
            case "missing":
                return Request("GET", f"/{place}-absent-KEY")
            case "get-once" | "list":
                return None

    def version(self) -> str:
        return said("nginx", "-v").rpartition("/")[2]


def installed() -> list[str]:
    """Return the command that starts nginx. Raises Unusable, with the packages to install, if one is missing."""
    missing = [str(path) for path in NEEDED if not path.exists()]
    try:
        found = program("nginx")
    except Unusable:
        missing.insert(0, "nginx")
    if missing:
        raise Unusable(
            f"nginx with its Lua module and that module's Redis client is needed, and {', '.join(missing)} is not"
            f" here: on Debian, apt-get install {PACKAGES}"
        )
    return [found]
