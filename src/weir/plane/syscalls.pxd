# What the plane takes from libc and the kernel, and nothing else. Only engine, stream, listener and
# accesslog may cimport the parts that touch a descriptor.

from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef extern from "<sys/types.h>" nogil:
    ctypedef long ssize_t
    ctypedef unsigned int socklen_t

cdef extern from "<errno.h>" nogil:
    int errno
    const int EAGAIN, EINTR, EINPROGRESS, EPIPE, ECONNRESET, ECONNREFUSED, ECONNABORTED
    const int EMFILE, ENFILE, ENOBUFS, ENOMEM, ETIMEDOUT, EADDRNOTAVAIL, EPERM, EPROTO, ENOENT
    const int ENOTCONN

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        void* ptr
        int fd
        uint32_t u32
        uint64_t u64
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    const int EPOLL_CLOEXEC
    const int EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD
    const uint32_t EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLERR, EPOLLHUP, EPOLLET, EPOLLEXCLUSIVE
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event* event)

cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    cdef struct sockaddr:
        uint16_t sa_family
    cdef struct sockaddr_storage:
        uint16_t ss_family
    cdef struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    const int AF_INET, AF_INET6, AF_UNIX
    const int SOCK_STREAM, SOCK_NONBLOCK, SOCK_CLOEXEC
    const int MSG_NOSIGNAL, MSG_DONTWAIT, MSG_PEEK, MSG_MORE
    const int SOL_SOCKET, SO_ERROR, SO_LINGER, SHUT_WR
    cdef struct linger:
        int l_onoff
        int l_linger
    int socket(int domain, int type, int protocol)
    int connect(int fd, const sockaddr* address, socklen_t length)
    int accept4(int fd, sockaddr* address, socklen_t* length, int flags)
    ssize_t sendmsg(int fd, const msghdr* msg, int flags)
    int shutdown(int fd, int how)
    int setsockopt(int fd, int level, int option, const void* value, socklen_t length)
    int getsockopt(int fd, int level, int option, void* value, socklen_t* length)
    int getpeername(int fd, sockaddr* address, socklen_t* length)
    int getsockname(int fd, sockaddr* address, socklen_t* length)

cdef extern from *:
    """
    #include <errno.h>
    #include <sys/epoll.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    /* The three that every request takes are no cancellation points here (pthreads(7)): nobody cancels threads, and in
       a process that has more than one, libc's own cost two locked instructions more for each. Sanitizers know libc's
       by name, and look at the buffers that they are given. */
    #if defined(__SANITIZE_ADDRESS__) || !defined(SYS_recvfrom) || !defined(SYS_sendto) || !defined(SYS_epoll_pwait)
    #define weir_recv recv
    #define weir_send send
    #define weir_epoll_wait epoll_wait
    #else
    static inline ssize_t weir_recv(int fd, void *buf, size_t n, int flags) {
        return syscall(SYS_recvfrom, fd, buf, n, flags, (void *)0, (void *)0);
    }
    static inline ssize_t weir_send(int fd, const void *buf, size_t n, int flags) {
        return syscall(SYS_sendto, fd, buf, n, flags, (void *)0, 0);
    }
    static inline int weir_epoll_wait(int epfd, struct epoll_event *events, int most, int wait_ms) {
        return (int)syscall(SYS_epoll_pwait, epfd, events, most, wait_ms, (void *)0, 8);
    }
    #endif
    static inline int weir_wait(int epfd, struct epoll_event *events, int most, int wait_ms) {
        int n = weir_epoll_wait(epfd, events, most, wait_ms);
        return n < 0 ? -errno : n;
    }
    """
    ssize_t recv "weir_recv"(int fd, void* buf, size_t n, int flags) nogil
    ssize_t send "weir_send"(int fd, const void* buf, size_t n, int flags) nogil
    # epoll_wait, but a failure is -errno: errno itself lasts only until the next call, and signal handlers, sources
    # and timers are called before anybody could ask for it.
    int epoll_wait_or_errno "weir_wait"(int epfd, epoll_event* events, int most, int wait_ms) nogil

cdef extern from "<netinet/in.h>" nogil:
    const int IPPROTO_TCP
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct in6_addr:
        unsigned char s6_addr[16]
    cdef struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    uint16_t ntohs(uint16_t n)
    uint16_t htons(uint16_t n)

cdef extern from "<sys/un.h>" nogil:
    cdef struct sockaddr_un:
        uint16_t sun_family
        char sun_path[108]

cdef extern from "<netinet/tcp.h>" nogil:
    const int TCP_NODELAY, TCP_NOTSENT_LOWAT

cdef extern from "<sys/ioctl.h>" nogil:
    int ioctl(int fd, unsigned long request, void* argument)

cdef extern from "<linux/sockios.h>" nogil:
    const unsigned long SIOCOUTQ

cdef extern from "<arpa/inet.h>" nogil:
    const char* inet_ntop(int family, const void* source, char* destination, socklen_t size)
    int inet_pton(int family, const char* source, void* destination)

cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef extern from "<time.h>" nogil:
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    const int CLOCK_MONOTONIC, CLOCK_REALTIME
    int clock_gettime(int clock, timespec* ts)
