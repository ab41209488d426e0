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
        Platform.writeToStandardError(Array("\(failure)\n".utf8))
    }
}
