public import EventBus

extension BatchedEvent {
    /// Creates an event of a batch, for a test that calls a batch handler directly.
    ///
    /// ```swift
    /// let batch = try [OrderCreated(orderID: "1"), OrderCreated(orderID: "")].map { try BatchedEvent(handling: $0) }
    /// try await index(batch)
    /// #expect(batch.map { $0.failure is InvalidOrder } == [false, true])
    /// ```
    ///
    /// - Parameters:
    ///   - event: The event.
    ///   - context: The context of the event, which a test has created. Defaults to that of a first attempt.
    public convenience init(handling event: E, context: EventContext? = nil) throws {
        self.init(event, try context ?? EventContext(handling: event), isDetached: true)
    }

    /// The error with which the handler has declared that the event failed, or `nil`.
    public var failure: (any Error)? { declaredError }
}
