#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// A reporter that passes the failures of listeners to the emitter's owner.
@usableFromInline
final class FailureReporter: Sendable {
    private let onError: @Sendable (LocalListenerFailure) -> Void

    init(_ onError: @escaping @Sendable (LocalListenerFailure) -> Void) {
        self.onError = onError
    }

    func report(_ failure: LocalListenerFailure) {
        onError(failure)
    }

    @usableFromInline
    @inline(never)
    func report<Value>(_ error: any Error, from listener: Listener<Value>, topic: Topic) {
        onError(LocalListenerFailure(topic: topic, listener: listener.token, error: error))
    }

    /// Writes the failure as a line to standard error.
    static func writeToStandardError(_ failure: LocalListenerFailure) {
        let line = Array("\(failure)\n".utf8)
        // Safe because the buffer is valid for the call. A short write to standard error cannot be fixed.
        _ = unsafe line.withUnsafeBytes { bytes in unsafe write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
    }
}
