/// A listener's registration and its closure for a `Value`, which is an event type or a ``LocalEvent``.
@usableFromInline
final class Listener<Value>: Sendable {
    let token: LocalListener
    @usableFromInline
    let body: @Sendable (Value) throws -> Void
    /// The closure that adds a value to the mailbox of an asynchronous listener, or `nil` for a synchronous one.
    let file: (@Sendable (Value, LocalEmission?) throws -> Void)?

    init(token: LocalListener, _ registration: LocalEmitter.Registration<Value>) {
        self.token = token
        switch registration {
        case .sync(let body):
            self.body = body
            self.file = nil
        case .async(let file, _):
            self.body = { value in try file(value, nil) }
            self.file = file
        }
    }

    var isAsync: Bool { file != nil }

    /// Returns the listener for the values for which `isIncluded` returns `true`.
    func filtered(_ isIncluded: @escaping @Sendable (Value) -> Bool) -> Listener {
        let body = body
        guard let file else {
            return Listener(token: token, .sync({ value in if isIncluded(value) { try body(value) } }))
        }
        return Listener(
            token: token,
            .async({ value, emission in if isIncluded(value) { try file(value, emission) } }, mailbox: nil)
        )
    }

    /// Passes a value to the listener, for an emission that is waited for.
    func receive(_ value: Value, of emission: LocalEmission?) throws {
        if let file { try file(value, emission) } else { try body(value) }
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

    /// Passes `value` to every listener for an emission that is waited for, and returns the failures.
    func pass(_ value: Value, of emission: LocalEmission?, topic: @autoclosure () -> Topic) -> [LocalListenerFailure] {
        var failures: [LocalListenerFailure] = []
        for listener in owners {
            do { try listener.receive(value, of: emission) } catch {
                failures.append(LocalListenerFailure(topic: topic(), listener: listener.token, error: error))
            }
        }
        return failures
    }

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
    private let asyncTyped: ListenerSequence<E>
    private let asyncPatterns: ListenerSequence<LocalEvent>
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
        self.asyncTyped = ListenerSequence(typed.filter(\.isAsync))
        self.asyncPatterns = ListenerSequence(patterns.filter(\.isAsync))
        self.hasMailboxes = asyncTyped.count + asyncPatterns.count > 0
        self.reporter = reporter
        self.codec = codec
    }

    var count: Int { typed.count + patterns.count + asyncTyped.count + asyncPatterns.count }

    /// Adds the event to every mailbox, then calls every synchronous listener. An event that such a listener emits
    /// therefore cannot get into a mailbox before this one.
    @inlinable
    func deliver(_ event: E) {
        if hasMailboxes { file(event) }
        typed.call(event, reporter: reporter) { event.localTopic }
        if patterns.count == 0 { return }
        patterns.call(LocalEvent(event, codec: codec), reporter: reporter) { event.localTopic }
    }

    /// Delivers the event like ``deliver(_:)``, for an emission that is waited for and collects the failures.
    func deliver(_ event: E, of emission: LocalEmission) {
        var failures = hasMailboxes ? file(event, of: emission) : []
        failures += typed.pass(event, of: emission, topic: event.localTopic)
        if patterns.count > 0 {
            failures += patterns.pass(LocalEvent(event, codec: codec), of: emission, topic: event.localTopic)
        }
        emission.add(failures)
    }

    /// Adds the event to every mailbox. Failures are reported afterwards, because their handler may emit events.
    @usableFromInline
    @inline(never)
    func file(_ event: E) {
        for failure in file(event, of: nil) { reporter.report(failure) }
    }

    /// Adds the event to every mailbox, and returns the failures.
    private func file(_ event: E, of emission: LocalEmission?) -> [LocalListenerFailure] {
        let failures = asyncTyped.pass(event, of: emission, topic: event.localTopic)
        if asyncPatterns.count == 0 { return failures }
        return failures + asyncPatterns.pass(LocalEvent(event, codec: codec), of: emission, topic: event.localTopic)
    }
}
