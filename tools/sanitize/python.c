/* A Python whose memory and arithmetic are watched: the interpreter of this machine, linked with the sanitizers.
 *
 * They have to be in a process from its first instruction, which an extension that is loaded later cannot bring
 * about. LD_PRELOAD could, but it goes on to every child, and nginx, wrk and curl are not what is examined. As a
 * program of its own this Python is also sys.executable, so that whatever a test starts with it is watched as well.
 */

#define _GNU_SOURCE
#include <Python.h>
#include <dirent.h>
#include <link.h>
#include <pthread.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Written into the program, so that no environment that a test makes can leave them out.
 *   detect_leaks      what nobody points to at the end (CPython leaves much, but points to all of it); see search()
 *   abort_on_error    a finding ends the process by a signal, which no test takes for an exit of weir's own
 *   handle_abort      an invariant that is broken aborts: with a stack, please
 *   allocator_may_return_null  "no memory" is an outcome that weir answers; its tests ask for it
 *   quarantine        freed memory is kept from use for a while; without a bound nothing could measure a leak
 */
const char *__asan_default_options(void)
{
    return "detect_leaks=1:leak_check_at_exit=0:halt_on_error=1:abort_on_error=1:handle_abort=1"
           ":print_stacktrace=1:strict_string_checks=1:check_initialization_order=1:detect_stack_use_after_return=1"
           ":allocator_may_return_null=1:quarantine_size_mb=16:malloc_context_size=20";
}

const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1:halt_on_error=1:abort_on_error=1";
}

/* Leaks that are none of the plane's: pydantic_core, protobuf_ext and pyqwest (both are connectrpc's) keep some types
 * from their import on; ncurses keeps what it knows of the terminal. Each costs a process another round of the
 * search, with names for all stacks, so that what can be kept from looking lost is kept from it below. Not one of
 * CPython's own is here: all of its objects, and all that the plane has from malloc, must be found again.
 */
const char *__lsan_default_suppressions(void)
{
    return "leak:_pydantic_core\n"
           "leak:_protobuf_ext\n"
           "leak:_pyqwest\n"
           "leak:libtinfo\n"
           "leak:libncursesw\n";
}

const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}

/* A child has one thread only. What its parent's other threads alone pointed to, in frames that the child's sanitizer
 * no longer knows, would look lost; and it waits for those threads. Such children (tests that fork in a process of
 * xdist's, which has a thread of its own) do not look for leaks: their parent does, and weir itself forks before it
 * has threads.
 */
static int threads_at_fork;
static int forked_beside_threads;

static void before_fork(void)
{
    DIR *tasks = opendir("/proc/self/task");
    threads_at_fork = 0;
    if (tasks != NULL) {
        for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
            threads_at_fork += task->d_name[0] != '.';
        }
        closedir(tasks);
    }
}

static void in_child(void)
{
    forked_beside_threads |= threads_at_fork > 1;
}

/* The search for leaks. A finding ends the process by a signal, which its supervisor says, and no test expects.
 *
 * The search itself breaks down now and then, when it looks through a thread that is just beginning or ending (the
 * address sanitizer of gcc 12 reads its thread-local blocks before they are there): it says so, and this one process
 * ends as it would have.
 */
static volatile int searching;
static volatile int exit_status;

static void on_death(void)
{
    if (searching) {
        syscall(SYS_exit_group, exit_status);
    }
}

static void search(int status, void *nothing)
{
    (void)nothing;
    if (forked_beside_threads) {
        return;
    }
    exit_status = status;
    searching = 1;
    int lost = __lsan_do_recoverable_leak_check();
    searching = 0;
    if (lost) {
        signal(SIGABRT, SIG_DFL);
        abort();
    }
}

/* What weir forks (workers, the admin process) ends by os._exit, at which nobody else would look for leaks. */
void _exit(int status)
{
    if (Py_IsInitialized()) {
        search(status, NULL);
    }
    syscall(SYS_exit_group, status);
    __builtin_unreachable();
}

static int is_ours(struct dl_phdr_info *library, size_t size, void *found)
{
    (void)size;
    *(int *)found |= strstr(library->dlpi_name, "/weir/") != NULL;
    return 0;
}

/* A process that has loaded none of weir's compiled modules (commands, who reads the configuration) cannot have lost
 * their memory. To search it is a quarter of its time.
 */
int __lsan_is_turned_off(void)
{
    int found = 0;
    dl_iterate_phdr(is_ours, &found);
    return !found;
}

/* The frames of Python code stand in "arenas", which CPython maps by itself. From malloc they are looked through:
 * otherwise all that only a frame points to would look lost when a process ends beside a thread that still runs.
 */
static void *allocate_arena(void *context, size_t size)
{
    (void)context;
    return malloc(size);
}

static void free_arena(void *context, void *arena, size_t size)
{
    (void)context;
    (void)size;
    free(arena);
}

/* In a forked child CPython makes its locks anew, and leaves the old ones as lost, by intent
 * (_PyThread_at_fork_reinit). They are known by their size: CPython asks for no other raw memory of as much, and the
 * plane for none.
 */
static void *allocate_raw(void *context, size_t size)
{
    PyMemAllocatorEx *raw = context;
    void *memory = raw->malloc(raw->ctx, size);
    if (memory != NULL && size == sizeof(sem_t)) {
        __lsan_ignore_object(memory);
    }
    return memory;
}

static PyMemAllocatorEx raw_before;

/* The first step of Py_BytesMain, which it does not repeat. The locks of the runtime are made in it. */
static void begin(int argc, char **argv)
{
    /* CPython's own allocator hands out pieces of large blocks, between which the sanitizer sees no borders. */
    setenv("PYTHONMALLOC", "malloc", 1);
    PyObjectArenaAllocator arenas = {NULL, allocate_arena, free_arena};
    PyObject_SetArenaAllocator(&arenas);
    PyPreConfig config;
    __lsan_disable();
    PyPreConfig_InitPythonConfig(&config);
    PyStatus status = Py_PreInitializeFromBytesArgs(&config, argc, argv);
    __lsan_enable();
    if (PyStatus_Exception(status)) {
        Py_ExitStatusException(status);
    }
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &raw_before);
    PyMemAllocatorEx raw = raw_before;
    raw.ctx = &raw_before;
    raw.malloc = allocate_raw;
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &raw);
}

int main(int argc, char **argv)
{
    begin(argc, argv);
    pthread_atfork(before_fork, NULL, in_child);
    __sanitizer_set_death_callback(on_death);
    on_exit(search, NULL);
    return Py_BytesMain(argc, argv);
}
