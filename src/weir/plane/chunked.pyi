from enum import IntFlag

class ChunkState(IntFlag):
    C_HEADER = 0
    C_DATA = 1
    C_DATA_END = 2
    C_TRAILERS = 3
    C_END = 4
