/// The asynchronous sequences of an emitter that have not ended.
struct EventStreams: Sendable {
    /// The closures that end them, by the ids of their listeners.
    var ends: [UInt64: @Sendable () -> Void] = [:]
    /// A Boolean value indicating whether the emitter has ended, so that a further sequence ends immediately.
    var isClosed = false
}

extension LocalEmitter {
    /// Returns the events that are emitted as an `E` from now on.
    ///
    /// ```swift
    /// for await order in bus.local.events(OrderCreated.self) { print(order.orderID) }
    /// ```
    ///
    /// The sequence ends when its task is cancelled, when the bus has shut down, and when the emitter is released. Like
    /// every `AsyncStream`, it is for one consumer: call the method once for each.
    ///
    /// - Parameters:
    ///   - type: The type of the events.
    ///   - capacity: The maximum number of events that wait for the consumer. Values below 1 count as 1. While as many
    ///     wait, the sequence does not receive further events, and each of them is reported to the emitter's `onError`
    ///     with code `.mailboxFull`.
    ///   - file: The file of the call, for ``LocalListenerFailure``. Defaults to that of the caller.
    ///   - line: The line in `file`.
    public func events<E: Event>(
        _ type: E.Type,
        capacity: Int = 256,
        file: String = #fileID,
        line: Int = #line
    ) -> AsyncStream<E> {
        stream(capacity) { body in on(type, file: file, line: line, body) }
    }

    /// Returns the events whose topic matches `pattern` from now on, like the events of one type.
    public func events(
        _ pattern: TopicPattern,
        capacity: Int = 256,
        file: String = #fileID,
        line: Int = #line
    ) -> AsyncStream<LocalEvent> {
        stream(capacity) { body in on(pattern, file: file, line: line, body) }
    }

    func stream<Value: Sendable>(
        _ capacity: Int,
        listening: (_ body: @escaping @Sendable (Value) throws -> Void) -> LocalListener
    ) -> AsyncStream<Value> {
        let capacity = max(1, capacity)
        let (stream, continuation) = AsyncStream.makeStream(
            of: Value.self,
            bufferingPolicy: .bufferingOldest(capacity)
        )
        let listener = listening { value in
            guard case .dropped = continuation.yield(value) else { return }
            throw EventBusError(
                .mailboxFull,
                "\(capacity) events wait in this sequence already, and it does not get this one; give it a larger "
                    + "capacity or read it faster"
            )
        }
        // First, because the emitter may end at this moment.
        continuation.onTermination = { [weak self] _ in
            listener.remove()
            _ = self?.streams.withLock { $0.ends.removeValue(forKey: listener.id) }
        }
        let isOpen = streams.withLock { streams in
            if !streams.isClosed { streams.ends[listener.id] = { continuation.finish() } }
            return !streams.isClosed
        }
        if !isOpen { continuation.finish() }
        return stream
    }

    /// Ends all sequences, and further ones immediately.
    func endStreams() {
        let ends = streams.withLock { streams in
            streams.isClosed = true
            defer { streams.ends = [:] }
            return streams.ends
        }
        for end in ends.values { end() }
    }
}
