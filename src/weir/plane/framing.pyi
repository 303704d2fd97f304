from enum import IntFlag

class BodyKind(IntFlag):
    B_NONE = 0
    B_LENGTH = 1
    B_CHUNKED = 2
    B_CLOSE = 3
    B_TUNNEL = 4
