import Glibc

/// Runs `body` on a new detached thread.
///
/// - Returns: Zero, or the error number of `pthread_create`.
package func startDetachedThread(
    name: String,
    stackSize: Int,
    _ body: @escaping @Sendable () -> Void
) -> Int32 {
    // Balanced by the thread, or below if no thread was started.
    let start = Unmanaged.passRetained(ThreadStart(name: String(name.prefix(15)), body: body))
    // Not `pthread_attr_t()`, because its module depends on the other imports of a package.
    let problem = withUnsafeTemporaryAllocation(of: pthread_attr_t.self, capacity: 1) { attributes -> Int32 in
        guard let attributes = attributes.baseAddress, pthread_attr_init(attributes) == 0 else { return ENOMEM }
        defer { pthread_attr_destroy(attributes) }
        pthread_attr_setdetachstate(attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(attributes, stackSize)
        var thread = pthread_t()
        return pthread_create(
            &thread,
            attributes,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue()
                setCurrentThreadName(start.name)
                start.body()
                return nil
            },
            start.toOpaque()
        )
    }
    if problem != 0 { start.release() }
    return problem
}

private final class ThreadStart: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }
}

/// Names the current thread through procfs, because Swift does not see the C functions for it. A failure is ignored,
/// because the name only helps debugging.
private func setCurrentThreadName(_ name: String) {
    let descriptor = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    _ = write(descriptor, name, name.utf8.count)
    close(descriptor)
}

extension String {
    /// Creates the C library's description of an error number.
    package init(errorNumber: Int32) {
        var buffer = [CChar](repeating: 0, count: 128)
        let text = buffer.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress, strerror_r(errorNumber, start, buffer.count) == 0 else {
                return "error \(errorNumber)"
            }
            return String(cString: start)
        }
        self = text
    }
}
