import Synchronization

// Registering. A plain closure is a sync listener; one that awaits, or says `async`, has a mailbox.
extension LocalEmitter {
    /// Calls `body` for every event emitted as an `E`, on the thread that emits, until the listener is removed.
    ///
    /// - Parameters:
    ///   - type: The type of the events.
    ///   - file: Where the listener is registered, for ``LocalListenerFailure``; the caller's unless given.
    ///   - line: The line in `file`.
    ///   - body: What to do with an event. An error it throws is reported to the emitter's `onError`.
    /// - Returns: What to remove the listener by.
    @discardableResult
    public func on<E: Event>(
        _ type: E.Type,
        file: String = #fileID,
        line: Int = #line,
        _ body: @escaping @Sendable (E) throws -> Void
    ) -> LocalListener {
        register(type, file: file, line: line) { _ in (body, nil, false) }
    }

    /// Calls `body` for every event whose topic matches `pattern`, on the thread that emits, until the listener is
    /// removed.
    ///
    /// - Parameters:
    ///   - pattern: Which topics to listen to; `*` is one word, `#` zero or more.
    ///   - file: Where the listener is registered, for ``LocalListenerFailure``; the caller's unless given.
    ///   - line: The line in `file`.
    ///   - body: What to do with an event. An error it throws is reported to the emitter's `onError`.
    /// - Returns: What to remove the listener by.
    @discardableResult
    public func on(
        _ pattern: TopicPattern,
        file: String = #fileID,
        line: Int = #line,
        _ body: @escaping @Sendable (LocalEvent) throws -> Void
    ) -> LocalListener {
        register(pattern, file: file, line: line) { _ in (body, nil, false) }
    }

    /// Calls `body` for every event emitted as an `E`, in order and one at a time, in a task of the listener's own.
    ///
    /// The `ServiceContext` of whoever emitted the event is bound while `body` runs.
    ///
    /// - Parameters:
    ///   - type: The type of the events.
    ///   - capacity: How many events may wait for the listener; less than 1 counts as 1. While that many wait, it does not get
    ///     further ones, and each is reported to the emitter's `onError` with code `.mailboxFull`.
    ///   - file: Where the listener is registered, for ``LocalListenerFailure``; the caller's unless given.
    ///   - line: The line in `file`.
    ///   - body: What to do with an event. An error it throws is reported to the emitter's `onError`.
    /// - Returns: What to remove the listener by.
    @discardableResult
    public func on<E: Event>(
        _ type: E.Type,
        capacity: Int = 256,
        file: String = #fileID,
        line: Int = #line,
        _ body: @escaping @Sendable (E) async throws -> Void
    ) -> LocalListener {
        register(type, file: file, line: line) { listener in
            let mailbox = makeMailbox(capacity: capacity, for: listener, topic: { _ in E.topic }, body)
            return ({ event in try mailbox.offer(event) }, mailbox, true)
        }
    }

    /// Calls `body` for every event whose topic matches `pattern`, in order and one at a time, in a task of the
    /// listener's own.
    ///
    /// The `ServiceContext` of whoever emitted the event is bound while `body` runs.
    ///
    /// - Parameters:
    ///   - pattern: Which topics to listen to; `*` is one word, `#` zero or more.
    ///   - capacity: How many events may wait for the listener; less than 1 counts as 1. While that many wait, it does not get
    ///     further ones, and each is reported to the emitter's `onError` with code `.mailboxFull`.
    ///   - file: Where the listener is registered, for ``LocalListenerFailure``; the caller's unless given.
    ///   - line: The line in `file`.
    ///   - body: What to do with an event. An error it throws is reported to the emitter's `onError`.
    /// - Returns: What to remove the listener by.
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
            return ({ event in try mailbox.offer(event) }, mailbox, true)
        }
    }
}

// Registering for one event.
extension LocalEmitter {
    /// Calls `body` for the next event emitted as an `E`, once, however many threads emit; then removes the listener.
    ///
    /// - Parameters:
    ///   - type: The type of the event.
    ///   - file: Where the listener is registered, for ``LocalListenerFailure``; the caller's unless given.
    ///   - line: The line in `file`.
    ///   - body: What to do with the event. An error it throws is reported to the emitter's `onError`.
    /// - Returns: What to remove the listener by.
    @discardableResult
    public func once<E: Event>(
        _ type: E.Type,
        file: String = #fileID,
        line: Int = #line,
        _ body: @escaping @Sendable (E) throws -> Void
    ) -> LocalListener {
        register(type, file: file, line: line) { listener in (onlyOnce(listener, body), nil, false) }
    }

    /// Calls `body` for the next event whose topic matches `pattern`, once, however many threads emit; then removes
    /// the listener.
    ///
    /// - Parameters:
    ///   - pattern: Which topics to listen to; `*` is one word, `#` zero or more.
    ///   - file: Where the listener is registered, for ``LocalListenerFailure``; the caller's unless given.
    ///   - line: The line in `file`.
    ///   - body: What to do with the event. An error it throws is reported to the emitter's `onError`.
    /// - Returns: What to remove the listener by.
    @discardableResult
    public func once(
        _ pattern: TopicPattern,
        file: String = #fileID,
        line: Int = #line,
        _ body: @escaping @Sendable (LocalEvent) throws -> Void
    ) -> LocalListener {
        register(pattern, file: file, line: line) { listener in (onlyOnce(listener, body), nil, false) }
    }

    /// Calls `body` in a task of its own for the next event emitted as an `E`, once, however many threads emit; the
    /// listener is removed when the event was emitted.
    ///
    /// - Parameters:
    ///   - type: The type of the event.
    ///   - file: Where the listener is registered, for ``LocalListenerFailure``; the caller's unless given.
    ///   - line: The line in `file`.
    ///   - body: What to do with the event. An error it throws is reported to the emitter's `onError`.
    /// - Returns: What to remove the listener by.
    @discardableResult
    public func once<E: Event>(
        _ type: E.Type,
        file: String = #fileID,
        line: Int = #line,
        _ body: @escaping @Sendable (E) async throws -> Void
    ) -> LocalListener {
        register(type, file: file, line: line) { listener in
            let mailbox = makeMailbox(capacity: 1, for: listener, topic: { _ in E.topic }, body)
            return (onlyOnce(listener) { event in try mailbox.offer(event) }, nil, true)
        }
    }

    /// Calls `body` in a task of its own for the next event whose topic matches `pattern`, once, however many threads
    /// emit; the listener is removed when the event was emitted.
    ///
    /// - Parameters:
    ///   - pattern: Which topics to listen to; `*` is one word, `#` zero or more.
    ///   - file: Where the listener is registered, for ``LocalListenerFailure``; the caller's unless given.
    ///   - line: The line in `file`.
    ///   - body: What to do with the event. An error it throws is reported to the emitter's `onError`.
    /// - Returns: What to remove the listener by.
    @discardableResult
    public func once(
        _ pattern: TopicPattern,
        file: String = #fileID,
        line: Int = #line,
        _ body: @escaping @Sendable (LocalEvent) async throws -> Void
    ) -> LocalListener {
        register(pattern, file: file, line: line) { listener in
            let mailbox = makeMailbox(capacity: 1, for: listener, topic: \.topic, body)
            return (onlyOnce(listener) { event in try mailbox.offer(event) }, nil, true)
        }
    }

    /// `body` behind a gate that lets one call through and takes the listener out before it.
    private func onlyOnce<Element>(
        _ listener: LocalListener,
        _ body: @escaping @Sendable (Element) throws -> Void
    ) -> @Sendable (Element) throws -> Void {
        let gate = OnceGate()
        return { element in
            guard gate.pass() else { return }
            // Not `remove`: what it dropped would be the one event.
            listener.emitter?.unregister(listener.id)
            try body(element)
        }
    }
}

/// Lets the first of many callers pass.
private final class OnceGate: Sendable {
    private let isPassed = Atomic<Bool>(false)

    func pass() -> Bool {
        !isPassed.exchange(true, ordering: .acquiringAndReleasing)
    }
}
