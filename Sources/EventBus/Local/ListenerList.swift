/// A listener's registration and its closure for a `Value`, which is an event type or a ``LocalEvent``.
@usableFromInline
final class Listener<Value>: Sendable {
    let token: LocalListener
    /// A Boolean value indicating whether ``body`` only adds the value to a mailbox.
    let isAsync: Bool
    @usableFromInline
    let body: @Sendable (Value) throws -> Void

    init(token: LocalListener, isAsync: Bool, body: @escaping @Sendable (Value) throws -> Void) {
        self.token = token
        self.isAsync = isAsync
        self.body = body
    }
}

/// A sequence of listeners in the order in which they are called, borrowed without being retained.
@usableFromInline
@safe
struct ListenerSequence<Value>: Sendable {
    // Safe because it points to objects that `owners` retains.
    @usableFromInline
    let references: ContiguousArray<Unmanaged<Listener<Value>>>
    private let owners: [Listener<Value>]

    init(_ listeners: [Listener<Value>]) {
        owners = listeners
        unsafe references = ContiguousArray(listeners.map { unsafe Unmanaged.passUnretained($0) })
    }

    @inlinable
    var count: Int { unsafe references.count }

    /// Calls every listener with `value`. If one throws, its error is reported and the next one is called.
    @inlinable
    func call(_ value: Value, reporter: FailureReporter, topic: () -> Topic) {
        for index in 0..<count {
            // Safe because `owners` keeps the listener alive during the call. A closure in an object that is only
            // borrowed is not retained for the call either, because that would take longer than the call.
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

/// The listeners for events of type `E`, which are resolved once and kept until a registration changes.
@usableFromInline
final class ListenerList<E: Event>: Sendable {
    /// The synchronous listeners.
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

    /// Adds the event to every mailbox, then calls every synchronous listener. An event that such a listener emits
    /// therefore cannot get into a mailbox before this one.
    @inlinable
    func deliver(_ event: E) {
        if hasMailboxes { file(event) }
        typed.call(event, reporter: reporter) { E.topic }
        if patterns.count == 0 { return }
        patterns.call(LocalEvent(event, codec: codec), reporter: reporter) { E.topic }
    }

    /// Adds the event to every mailbox. Failures are reported afterwards, because their handler may emit events.
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
