/// A listener's registration and what it does with a `Value`: an event type's own events, or a ``LocalEvent``.
@usableFromInline
final class Listener<Value>: Sendable {
    let token: LocalListener
    @usableFromInline
    let body: @Sendable (Value) throws -> Void

    init(token: LocalListener, body: @escaping @Sendable (Value) throws -> Void) {
        self.token = token
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
    @usableFromInline
    let typed: ListenerSequence<E>
    @usableFromInline
    let patterns: ListenerSequence<LocalEvent>
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
        self.typed = ListenerSequence(typed)
        self.patterns = ListenerSequence(patterns)
        self.reporter = reporter
        self.codec = codec
    }

    @inlinable
    var count: Int { typed.count + patterns.count }

    /// Calls every listener, the typed ones first.
    @inlinable
    func deliver(_ event: E) {
        typed.call(event, reporter: reporter) { E.topic }
        if patterns.count == 0 { return }
        patterns.call(LocalEvent(event, codec: codec), reporter: reporter) { E.topic }
    }
}
