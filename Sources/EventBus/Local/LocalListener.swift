/// A token that identifies one registration with a ``LocalEmitter``, to remove the listener with.
///
/// ```swift
/// let listener = emitter.on(OrderCreated.self) { order in print(order.orderID) }
/// listener.remove()
/// ```
///
/// The registration does not depend on this value: it exists until it is removed, even if nobody keeps the token. The
/// token does not keep the emitter alive.
public final class LocalListener: Sendable {
    /// The source file of the registration.
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
    /// The location of the registration.
    public var description: String { "listener at \(file):\(line)" }
}
