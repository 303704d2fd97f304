from enum import IntFlag

class FieldId(IntFlag):
    F_OTHER = 0
    F_HOST = 1
    F_CONNECTION = 2
    F_CONTENT_LENGTH = 3
    F_TRANSFER_ENCODING = 4
    F_KEEP_ALIVE = 5
    F_PROXY_CONNECTION = 6
    F_TE = 7
    F_TRAILER = 8
    F_UPGRADE = 9
    F_EXPECT = 10
    F_X_FORWARDED_FOR = 11
    F_X_FORWARDED_PROTO = 12
    F_X_FORWARDED_HOST = 13
    F_VIA = 14
    F_PROXY_AUTHORIZATION = 15
    F_PROXY_AUTHENTICATE = 16
    F_PROXY = 17
    F_HTTP2_SETTINGS = 18
    F_DATE = 19
    F_X_REAL_IP = 20
    F_FORWARDED = 21
    F_SERVER = 22
    F_PROXY_AUTHENTICATION_INFO = 23
    F_USER_AGENT = 24
    F_REFERER = 25
    F_AUTHORIZATION = 26
    F_WWW_AUTHENTICATE = 27

class Method(IntFlag):
    M_OTHER = 0
    M_GET = 1
    M_HEAD = 2
    M_POST = 3
    M_PUT = 4
    M_DELETE = 5
    M_OPTIONS = 6
    M_PATCH = 7
    M_TRACE = 8
    M_CONNECT = 9

class TargetForm(IntFlag):
    T_ORIGIN = 0
    T_ABSOLUTE = 1
    T_AUTHORITY = 2
    T_ASTERISK = 3
