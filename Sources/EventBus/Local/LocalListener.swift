/// Names one registration with a ``LocalEmitter``, to remove it by.
///
/// The registration does not depend on this value: it stays until it is removed, whether or not anyone keeps the
/// token. The token does not keep the emitter alive.
public final class LocalListener: Sendable {
    /// The source file in which the listener was registered.
    public let file: String
    /// The line in ``file``.
    public let line: Int

    let id: UInt64
    weak let emitter: LocalEmitter?

    init(id: UInt64, emitter: LocalEmitter, file: String, line: Int) {
        self.id = id
        self.emitter = emitter
        self.file = file
        self.line = line
    }

    /// Removes the listener, as ``LocalEmitter/remove(_:)`` does.
    public func remove() {
        emitter?.remove(self)
    }
}

extension LocalListener: CustomStringConvertible {
    /// Where the listener was registered.
    public var description: String { "listener at \(file):\(line)" }
}
