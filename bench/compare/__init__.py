"""The side-by-side: the service, what it is built on, and what else one might run, measured in one run.

Systems take turns (A B C A B C), so that a machine that gets slower gets slower for all; what counts are the medians of
the ratios within a round. Every answer is counted, none may be wrong, and what is answered is looked at before it is
timed.
"""
