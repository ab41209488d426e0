public final class LocalEmitter: Sendable {
    init(onError: @escaping @Sendable (any Error) -> Void) {}
    func emit<E: Event>(_ event: E) {}
}
