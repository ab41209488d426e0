/// An event of any type, as passed to a listener for a pattern.
///
/// ```swift
/// emitter.on("order.#") { event in
///     if let order = event.as(OrderCreated.self) { print(order.orderID) }
/// }
/// ```
public struct LocalEvent: Sendable {
    /// A codec other than the default one, boxed in one word so that an event is cheap to pass on.
    @usableFromInline
    final class Codec: Sendable {
        let base: any EventCodec

        init(_ base: any EventCodec) {
            self.base = base
        }
    }

    /// The event.
    public let event: any Event
    @usableFromInline
    let codec: Codec?

    @inlinable
    init(_ event: some Event, codec: Codec?) {
        self.event = event
        self.codec = codec
    }

    /// The topic of the event.
    public var topic: Topic { event.localTopic }

    /// Returns the event as a value of `type`, or `nil` if it has another type.
    @inlinable
    public func `as`<E: Event>(_ type: E.Type) -> E? {
        event as? E
    }

    /// Returns the event's payload, encoded by the emitter's codec. Every call encodes it again.
    ///
    /// - Throws: ``EventBusError`` with code `.encodingFailed`.
    public func payload() throws(EventBusError) -> [UInt8] {
        do {
            return try (codec?.base ?? Self.defaultCodec).encode(event)
        } catch {
            throw EventBusError(
                .encodingFailed,
                "\(Swift.type(of: event)) for topic \(topic) cannot be encoded",
                underlying: error
            )
        }
    }

    private static let defaultCodec: any EventCodec = JSONEventCodec()
}
