"""The comparison: the service, the software below it, and alternatives, measured in one run.

The systems run in turns (A B C A B C), so that a machine that becomes slower is slower for all of them. The results are
the medians of the ratios within a round. Every answer is counted, and none may be wrong. Answers are checked before the
timing begins.
"""
