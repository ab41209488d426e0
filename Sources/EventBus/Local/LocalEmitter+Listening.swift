import Synchronization

// Registration. A closure that does not await is a synchronous listener. One that awaits or is marked `async` has a
// mailbox.
extension LocalEmitter {
    /// Calls `body` for every event emitted as an `E`, on the emitting thread, until the listener is removed.
    ///
    /// ```swift
    /// bus.local.on(OrderCreated.self) { order in counter.increment() }
    /// ```
    ///
    /// - Parameters:
    ///   - type: The type of the events.
    ///   - file: The file of the registration, for ``LocalListenerFailure``. Defaults to that of the caller.
    ///   - line: The line in `file`.
    ///   - body: The closure to call with each event. Its errors are reported to the emitter's `onError`.
    /// - Returns: A token to remove the listener with.
    @discardableResult
    public func on<E: Event>(
        _ type: E.Type,
        file: String = #fileID,
        line: Int = #line,
        _ body: @escaping @Sendable (E) throws -> Void
    ) -> LocalListener {
        register(type, file: file, line: line) { _ in .sync(body) }
    }

    /// Calls `body` for every event whose topic matches `pattern`, on the emitting thread, until the listener is
    /// removed.
    ///
    /// ```swift
    /// bus.local.on("order.#") { event in print(event.topic) }
    /// ```
    ///
    /// - Parameters:
    ///   - pattern: The topics to listen to. `*` matches one word, and `#` matches zero or more words.
    ///   - file: The file of the registration, for ``LocalListenerFailure``. Defaults to that of the caller.
    ///   - line: The line in `file`.
    ///   - body: The closure to call with each event. Its errors are reported to the emitter's `onError`.
    /// - Returns: A token to remove the listener with.
    @discardableResult
    public func on(
        _ pattern: TopicPattern,
        file: String = #fileID,
        line: Int = #line,
        _ body: @escaping @Sendable (LocalEvent) throws -> Void
    ) -> LocalListener {
        register(pattern, file: file, line: line) { _ in .sync(body) }
    }

    /// Calls `body` for every event emitted as an `E`, in order and one at a time, in a task of the listener.
    ///
    /// ```swift
    /// bus.local.on(OrderCreated.self, capacity: 1000) { order in try await index.add(order) }
    /// ```
    ///
    /// The `ServiceContext` of the emitting task is bound while `body` runs.
    ///
    /// - Parameters:
    ///   - type: The type of the events.
    ///   - capacity: The maximum number of events that wait for the listener. Values below 1 count as 1. While the
    ///     mailbox is full, the listener does not receive further events, and each of them is reported to the emitter's
    ///     `onError` with code `.mailboxFull`.
    ///   - file: The file of the registration, for ``LocalListenerFailure``. Defaults to that of the caller.
    ///   - line: The line in `file`.
    ///   - body: The closure to call with each event. Its errors are reported to the emitter's `onError`.
    /// - Returns: A token to remove the listener with.
    @discardableResult
    public func on<E: Event>(
        _ type: E.Type,
        capacity: Int = 256,
        file: String = #fileID,
        line: Int = #line,
        _ body: @escaping @Sendable (E) async throws -> Void
    ) -> LocalListener {
        register(type, file: file, line: line) { listener in
            let mailbox = makeMailbox(capacity: capacity, for: listener, topic: \.localTopic, body)
            return .async({ event, emission in try mailbox.offer(event, of: emission) }, mailbox: mailbox)
        }
    }

    /// Calls `body` for every event whose topic matches `pattern`, in order and one at a time, in a task of the
    /// listener.
    ///
    /// The `ServiceContext` of the emitting task is bound while `body` runs.
    ///
    /// - Parameters:
    ///   - pattern: The topics to listen to. `*` matches one word, and `#` matches zero or more words.
    ///   - capacity: The maximum number of events that wait for the listener. Values below 1 count as 1. While the
    ///     mailbox is full, the listener does not receive further events, and each of them is reported to the emitter's
    ///     `onError` with code `.mailboxFull`.
    ///   - file: The file of the registration, for ``LocalListenerFailure``. Defaults to that of the caller.
    ///   - line: The line in `file`.
    ///   - body: The closure to call with each event. Its errors are reported to the emitter's `onError`.
    /// - Returns: A token to remove the listener with.
    @discardableResult
    public func on(
        _ pattern: TopicPattern,
        capacity: Int = 256,
        file: String = #fileID,
        line: Int = #line,
        _ body: @escaping @Sendable (LocalEvent) async throws -> Void
    ) -> LocalListener {
        register(pattern, file: file, line: line) { listener in
            let mailbox = makeMailbox(capacity: capacity, for: listener, topic: \.topic, body)
            return .async({ event, emission in try mailbox.offer(event, of: emission) }, mailbox: mailbox)
        }
    }
}

// Registration for a single event.
extension LocalEmitter {
    /// Calls `body` for the next event emitted as an `E`, exactly once even if several threads emit, and removes the
    /// listener.
    ///
    /// - Parameters:
    ///   - type: The type of the event.
    ///   - file: The file of the registration, for ``LocalListenerFailure``. Defaults to that of the caller.
    ///   - line: The line in `file`.
    ///   - body: The closure to call with the event. Its error is reported to the emitter's `onError`.
    /// - Returns: A token to remove the listener with.
    @discardableResult
    public func once<E: Event>(
        _ type: E.Type,
        file: String = #fileID,
        line: Int = #line,
        _ body: @escaping @Sendable (E) throws -> Void
    ) -> LocalListener {
        register(type, file: file, line: line) { listener in
            let pass = onlyOnce(listener)
            return .sync({ event in if pass() { try body(event) } })
        }
    }

    /// Calls `body` for the next event whose topic matches `pattern`, exactly once even if several threads emit, and
    /// removes the listener.
    ///
    /// - Parameters:
    ///   - pattern: The topics to listen to. `*` matches one word, and `#` matches zero or more words.
    ///   - file: The file of the registration, for ``LocalListenerFailure``. Defaults to that of the caller.
    ///   - line: The line in `file`.
    ///   - body: The closure to call with the event. Its error is reported to the emitter's `onError`.
    /// - Returns: A token to remove the listener with.
    @discardableResult
    public func once(
        _ pattern: TopicPattern,
        file: String = #fileID,
        line: Int = #line,
        _ body: @escaping @Sendable (LocalEvent) throws -> Void
    ) -> LocalListener {
        register(pattern, file: file, line: line) { listener in
            let pass = onlyOnce(listener)
            return .sync({ event in if pass() { try body(event) } })
        }
    }

    /// Calls `body` in a separate task for the next event emitted as an `E`, exactly once even if several threads emit.
    /// The listener is removed when the event is emitted.
    ///
    /// - Parameters:
    ///   - type: The type of the event.
    ///   - file: The file of the registration, for ``LocalListenerFailure``. Defaults to that of the caller.
    ///   - line: The line in `file`.
    ///   - body: The closure to call with the event. Its error is reported to the emitter's `onError`.
    /// - Returns: A token to remove the listener with.
    @discardableResult
    public func once<E: Event>(
        _ type: E.Type,
        file: String = #fileID,
        line: Int = #line,
        _ body: @escaping @Sendable (E) async throws -> Void
    ) -> LocalListener {
        register(type, file: file, line: line) { listener in
            let mailbox = makeMailbox(capacity: 1, for: listener, topic: \.localTopic, body)
            let pass = onlyOnce(listener)
            return .async({ event, emission in if pass() { try mailbox.offer(event, of: emission) } }, mailbox: nil)
        }
    }

    /// Calls `body` in a separate task for the next event whose topic matches `pattern`, exactly once even if several
    /// threads emit. The listener is removed when the event is emitted.
    ///
    /// - Parameters:
    ///   - pattern: The topics to listen to. `*` matches one word, and `#` matches zero or more words.
    ///   - file: The file of the registration, for ``LocalListenerFailure``. Defaults to that of the caller.
    ///   - line: The line in `file`.
    ///   - body: The closure to call with the event. Its error is reported to the emitter's `onError`.
    /// - Returns: A token to remove the listener with.
    @discardableResult
    public func once(
        _ pattern: TopicPattern,
        file: String = #fileID,
        line: Int = #line,
        _ body: @escaping @Sendable (LocalEvent) async throws -> Void
    ) -> LocalListener {
        register(pattern, file: file, line: line) { listener in
            let mailbox = makeMailbox(capacity: 1, for: listener, topic: \.topic, body)
            let pass = onlyOnce(listener)
            return .async({ event, emission in if pass() { try mailbox.offer(event, of: emission) } }, mailbox: nil)
        }
    }

    /// Returns a gate that admits one call, and removes the listener before it.
    private func onlyOnce(_ listener: LocalListener) -> @Sendable () -> Bool {
        let gate = OnceGate()
        return {
            guard gate.pass() else { return false }
            // Not `remove`, which would drop the only event.
            listener.emitter?.unregister(listener.id)
            return true
        }
    }
}

/// A gate that lets the first of many callers pass.
final class OnceGate: Sendable {
    private let isPassed = Atomic<Bool>(false)

    func pass() -> Bool {
        !isPassed.exchange(true, ordering: .acquiringAndReleasing)
    }
}
