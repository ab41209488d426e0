/// A listener's registration and what it does with a `Value`: an event type's own events, or a ``LocalEvent``.
@usableFromInline
final class Listener<Value>: Sendable {
    let token: LocalListener
    /// Whether ``body`` only files the value in a mailbox.
    let isAsync: Bool
    @usableFromInline
    let body: @Sendable (Value) throws -> Void

    init(token: LocalListener, isAsync: Bool, body: @escaping @Sendable (Value) throws -> Void) {
        self.token = token
        self.isAsync = isAsync
        self.body = body
    }
}

/// Listeners in the order in which they are called, lent without being retained.
@usableFromInline
@safe
struct ListenerSequence<Value>: Sendable {
    // Safe: points to what `owners` holds.
    @usableFromInline
    let references: ContiguousArray<Unmanaged<Listener<Value>>>
    private let owners: [Listener<Value>]

    init(_ listeners: [Listener<Value>]) {
        owners = listeners
        unsafe references = ContiguousArray(listeners.map { unsafe Unmanaged.passUnretained($0) })
    }

    @inlinable
    var count: Int { unsafe references.count }

    /// Calls every listener with `value`. One that throws is reported and the next is called.
    @inlinable
    func call(_ value: Value, reporter: FailureReporter, topic: () -> Topic) {
        for index in 0..<count {
            // Safe: `owners` keeps the listener while this is called. A closure held by an object that is only lent
            // is not retained for the call either, which would cost more than the call.
            unsafe references[index]._withUnsafeGuaranteedRef { listener in
                do {
                    try listener.body(value)
                } catch {
                    reporter.report(error, from: listener, topic: topic())
                }
            }
        }
    }
}

/// Everyone who listens to events of type `E`, found once and kept until a registration changes.
@usableFromInline
final class ListenerList<E: Event>: Sendable {
    /// The sync listeners.
    @usableFromInline
    let typed: ListenerSequence<E>
    @usableFromInline
    let patterns: ListenerSequence<LocalEvent>
    /// The listeners with mailboxes.
    private let asyncTyped: [Listener<E>]
    private let asyncPatterns: [Listener<LocalEvent>]
    @usableFromInline
    let hasMailboxes: Bool
    @usableFromInline
    let reporter: FailureReporter
    @usableFromInline
    let codec: LocalEvent.Codec?

    init(
        typed: [Listener<E>],
        patterns: [Listener<LocalEvent>],
        reporter: FailureReporter,
        codec: LocalEvent.Codec?
    ) {
        self.typed = ListenerSequence(typed.filter { !$0.isAsync })
        self.patterns = ListenerSequence(patterns.filter { !$0.isAsync })
        self.asyncTyped = typed.filter(\.isAsync)
        self.asyncPatterns = patterns.filter(\.isAsync)
        self.hasMailboxes = !asyncTyped.isEmpty || !asyncPatterns.isEmpty
        self.reporter = reporter
        self.codec = codec
    }

    var count: Int { typed.count + patterns.count + asyncTyped.count + asyncPatterns.count }

    /// Files the event in every mailbox, then calls every sync listener: one that emits is too late to get its event
    /// into a mailbox before this one.
    @inlinable
    func deliver(_ event: E) {
        if hasMailboxes { file(event) }
        typed.call(event, reporter: reporter) { E.topic }
        if patterns.count == 0 { return }
        patterns.call(LocalEvent(event, codec: codec), reporter: reporter) { E.topic }
    }

    /// Files the event in every mailbox. Failures are reported afterwards, because what they are reported to may emit.
    @usableFromInline
    @inline(never)
    func file(_ event: E) {
        var failures: [LocalListenerFailure] = []
        for listener in asyncTyped {
            do { try listener.body(event) } catch {
                failures.append(LocalListenerFailure(topic: E.topic, listener: listener.token, error: error))
            }
        }
        if !asyncPatterns.isEmpty {
            let localEvent = LocalEvent(event, codec: codec)
            for listener in asyncPatterns {
                do { try listener.body(localEvent) } catch {
                    failures.append(LocalListenerFailure(topic: E.topic, listener: listener.token, error: error))
                }
            }
        }
        for failure in failures { reporter.report(failure) }
    }
}
