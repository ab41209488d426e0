public import Synchronization

/// Tells listeners in this process about events, now.
///
/// ```swift
/// let emitter = LocalEmitter()
/// emitter.on(OrderCreated.self) { order in print(order.orderID) }
/// emitter.on("order.#") { event in print(event.topic) }
/// emitter.on(OrderCreated.self) { order in await index.add(order) }
/// emitter.emit(OrderCreated(orderID: "42"))
/// ```
///
/// An event never leaves the process through an emitter and is not stored: who registers later does not see it.
///
/// **Who is called.** A typed listener gets the events that were emitted as its type, with no copy or box in between.
/// A pattern listener gets every event whose topic matches. ``emit(_:)`` first files the event in the mailboxes of the
/// async listeners, then calls the sync ones; among each, the typed listeners come first, then the pattern listeners,
/// each kind in the order of registration. Which listeners an event type has is found once and kept until a registration
/// changes.
///
/// **Sync and async.** A listener whose closure awaits nothing runs on the thread that emits, before ``emit(_:)``
/// returns. One whose closure awaits has a mailbox of a given capacity: it gets its events in the order of emission,
/// one at a time, in a task of its own which exists only while there are events. When the mailbox is full the listener
/// does not get the event, which is reported as an ``EventBusError`` with code `.mailboxFull`.
///
/// **Order.** An async listener gets a cause before its effect: an event that a sync listener emits while it is called
/// comes after the event it was called for. Of events emitted by one thread, or one after another in whichever way, each
/// async listener gets the earlier first; of events emitted by several threads at the same time, each async listener has
/// an order of its own. Sync listeners are called depth-first: when one emits, every sync listener of the inner event is
/// called before the remaining ones of the outer event, which so see the effect before its cause.
///
/// **Errors.** A listener that throws is reported to the emitter's `onError`; it stops neither the others nor the
/// emitter, and stays registered.
///
/// **Threads.** Everything may be called from any thread at any time, and from within a listener: to emit, to register
/// and to remove. A change concerns the events emitted after it; an ``emit(_:)`` that is under way finishes with the
/// listeners it began with, so that one removed in the meantime may still be called once. ``emit(_:)`` takes no lock.
public final class LocalEmitter: Sendable {
    private let registry = Locked(ListenerRegistry())
    private let lastID = Atomic<UInt64>(0)
    @usableFromInline
    let table = SnapshotCell<ListenerTable>()
    /// A copy of the registry's interest, to be read without its lock.
    @usableFromInline
    let interest = Atomic<UInt64>(0)
    private let activity = ActivityTracker()
    private let reporter: FailureReporter
    private let codec: LocalEvent.Codec?

    /// An emitter without listeners.
    ///
    /// - Parameters:
    ///   - codec: What ``LocalEvent/payload()`` encodes with; plain JSON if `nil`.
    ///   - onError: Called for every listener that threw or whose mailbox was full, on the thread that emits or in the
    ///     async listener's task. Without it a line is written to standard error.
    public init(
        codec: (any EventCodec)? = nil,
        onError: (@Sendable (LocalListenerFailure) -> Void)? = nil
    ) {
        self.codec = codec.map(LocalEvent.Codec.init)
        self.reporter = FailureReporter(onError ?? FailureReporter.writeToStandardError)
    }

    // MARK: Emitting

    /// Files `event` for every async listener, then calls every sync one; returns when all that is done.
    ///
    /// A listener that emits the event it listens to calls itself, without end.
    @inlinable
    public func emit<E: Event>(_ event: E) {
        if interest.load(ordering: .relaxed) & Self.interestBit(of: ObjectIdentifier(E.self)) == 0 { return }
        withList(for: E.self) { $0.deliver(event) }
    }

    /// Whether anyone listens to events of type `type`: cheap enough to ask before making an event.
    public func hasListeners<E: Event>(for type: E.Type) -> Bool {
        if interest.load(ordering: .relaxed) & Self.interestBit(of: ObjectIdentifier(type)) == 0 { return false }
        return withList(for: type) { $0.count } > 0
    }

    /// How many listeners an event of type `type` reaches, pattern listeners included.
    public func listenerCount<E: Event>(for type: E.Type) -> Int {
        withList(for: type) { $0.count }
    }

    /// How many listeners are registered.
    public var listenerCount: Int { registry.withLock { $0.count } }

    /// Returns once every async listener has handled all events emitted so far, and those emitted meanwhile: no mailbox
    /// holds an event and no async listener runs. Returns early when the task is cancelled.
    ///
    /// An async listener must not await this: it would wait for itself.
    public func idle() async {
        await activity.idle()
    }

    /// How many events wait for async listeners or are being handled by them.
    public var pendingCount: Int { activity.pendingEvents.load(ordering: .relaxed) }

    /// The work of the async listeners, for those who wait until a system has nothing to do.
    func pendingActivity() -> Activity {
        guard let idle = activity.idleSignal() else { return .idle }
        return .busy(description: "\(pendingCount) events are with async local listeners", change: idle)
    }

    // MARK: Removing

    /// Removes a listener; does nothing if it is gone already.
    ///
    /// No event emitted from now on reaches it. Its closure is released at once, or as soon as the calls of
    /// ``emit(_:)`` that are under way on other threads have ended; these may still call it once. What waits in an
    /// async listener's mailbox is dropped; a call that is running ends as it likes.
    public func remove(_ listener: LocalListener) {
        guard listener.emitter === self else { return }
        unregister(listener.id)?.close()
    }

    /// Removes all listeners, each as ``remove(_:)`` does.
    public func removeAll() {
        // What is taken out is let go outside the lock, since that may run the deinitialisers of users.
        let (former, unread) = registry.withLock { registry in
            let former = registry
            registry = ListenerRegistry()
            return (former, publish(registry, withTable: false))
        }
        _ = unread
        for mailbox in former.mailboxes { mailbox.close() }
    }

    /// Takes a listener out, and returns its mailbox with the events that wait in it.
    @discardableResult
    func unregister(_ id: UInt64) -> (any ClosableMailbox)? {
        let (removed, unread) = registry.withLock { registry in
            let removed = registry.remove(id)
            return (removed, publish(registry, withTable: false))
        }
        _ = unread
        return removed.mailbox
    }

    // MARK: Registering

    /// What a listener does with a value, its mailbox if removing it is to drop what waits there, and whether `body`
    /// only files the value.
    typealias Registration<Value> = (
        body: @Sendable (Value) throws -> Void, mailbox: (any ClosableMailbox)?, isAsync: Bool
    )

    func register<E: Event>(
        _ type: E.Type,
        file: String,
        line: Int,
        _ make: (LocalListener) -> Registration<E>
    ) -> LocalListener {
        let listener = makeListener(file: file, line: line)
        let (body, mailbox, isAsync) = make(listener)
        add { $0.add(Listener(token: listener, isAsync: isAsync, body: body), mailbox: mailbox) }
        return listener
    }

    func register(
        _ pattern: TopicPattern,
        file: String,
        line: Int,
        _ make: (LocalListener) -> Registration<LocalEvent>
    ) -> LocalListener {
        let listener = makeListener(file: file, line: line)
        let (body, mailbox, isAsync) = make(listener)
        add { $0.add(Listener(token: listener, isAsync: isAsync, body: body), for: pattern, mailbox: mailbox) }
        return listener
    }

    func makeMailbox<Element: Sendable>(
        capacity: Int,
        for listener: LocalListener,
        topic: @escaping @Sendable (Element) -> Topic,
        _ body: @escaping @Sendable (Element) async throws -> Void
    ) -> Mailbox<Element> {
        let reporter = reporter
        return Mailbox(capacity: capacity, activity: activity, body: body) { error, element in
            reporter.report(LocalListenerFailure(topic: topic(element), listener: listener, error: error))
        }
    }

    private func makeListener(file: String, line: Int) -> LocalListener {
        LocalListener(
            id: lastID.wrappingAdd(1, ordering: .relaxed).newValue,
            emitter: self,
            file: file,
            line: line
        )
    }

    private func add(_ change: (inout ListenerRegistry) -> Void) {
        let unread = registry.withLock { registry in
            change(&registry)
            return publish(registry, withTable: false)
        }
        _ = unread
    }

    // MARK: Resolving

    /// The bit that stands for a type among ``interest``.
    @inlinable
    static func interestBit(of type: ObjectIdentifier) -> UInt64 {
        1 << UInt64(truncatingIfNeeded: ListenerTable.hash(UInt(bitPattern: type)) >> (UInt(UInt.bitWidth) - 6))
    }

    /// Lends `body` the listeners for `E`.
    @inlinable
    func withList<E: Event, Result>(for type: E.Type, _ body: (ListenerList<E>) -> Result) -> Result {
        let slot = table.enter()
        // Safe: the slot stays entered, and so the table and its lists stay alive, until `leave`.
        if let table = unsafe table.object(in: slot),
            let list = unsafe table._withUnsafeGuaranteedRef({ unsafe $0.list(for: type) })
        {
            let result = unsafe list._withUnsafeGuaranteedRef(body)
            self.table.leave(slot)
            return result
        }
        table.leave(slot)
        return body(resolve(type))
    }

    /// The listeners for `E`, found under the lock; the next ``emit(_:)`` finds them without.
    @usableFromInline
    @inline(never)
    func resolve<E: Event>(_ type: E.Type) -> ListenerList<E> {
        // Outside the lock: a topic is code of the user.
        let topic = E.topic
        let (list, unread) = registry.withLock { registry in
            let list = registry.resolve(type, topic: topic, reporter: reporter, codec: codec)
            return (list, publish(registry, withTable: true))
        }
        _ = unread
        return list
    }

    /// Makes a changed registry visible to those who emit. Called with the lock held.
    ///
    /// - Returns: The former table if nobody reads it any more, to be let go outside the lock.
    private func publish(_ registry: borrowing ListenerRegistry, withTable: Bool) -> ListenerTable? {
        interest.store(registry.interest, ordering: .relaxed)
        return table.replace(with: withTable ? ListenerTable(registry.resolved) : nil)
    }
}
