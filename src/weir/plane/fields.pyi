from enum import IntFlag

class ForwardedPolicy(IntFlag):
    FWD_REPLACE = 0
    FWD_APPEND = 1
    FWD_KEEP = 2
    FWD_OFF = 3
