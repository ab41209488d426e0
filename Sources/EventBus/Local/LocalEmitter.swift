public import Synchronization

/// An emitter that synchronously delivers events to listeners in this process.
///
/// ```swift
/// let emitter = LocalEmitter()
/// emitter.on(OrderCreated.self) { order in print(order.orderID) }
/// emitter.on("order.#") { event in print(event.topic) }
/// emitter.on(OrderCreated.self) { order in await index.add(order) }
/// emitter.emit(OrderCreated(orderID: "42"))
/// ```
///
/// An event never leaves the process through an emitter and is not stored: later listeners do not see it.
///
/// **Delivery.** A typed listener receives the events that were emitted as its type, without a copy or box in between.
/// A pattern listener receives every event whose topic matches. ``emit(_:)`` first adds the event to the mailboxes of
/// the asynchronous listeners, then calls the synchronous ones. In each group, the typed listeners come first, then the
/// pattern listeners, in the order of registration. The listeners of an event type are resolved once and kept until a
/// registration changes.
///
/// **Synchronous and asynchronous listeners.** A listener whose closure does not await runs on the emitting thread,
/// before ``emit(_:)`` returns. One whose closure awaits has a mailbox with a given capacity: it receives its events in
/// the order of emission, one at a time, in a task that exists only while there are events. If the mailbox is full, the
/// listener does not receive the event, which is reported as an ``EventBusError`` with code `.mailboxFull`.
///
/// **Order.** An asynchronous listener receives a cause before its effect: an event that a synchronous listener emits
/// while it is called comes after the event it was called for. If one thread emits several events, or they are emitted
/// one after another in another way, each asynchronous listener receives the earlier one first. If several threads emit
/// at the same time, each asynchronous listener may receive the events in a different order. Synchronous listeners are
/// called depth-first: if one emits, every synchronous listener of the inner event is called before the remaining ones
/// of the outer event, so these see the effect before its cause.
///
/// **Errors.** An error of a listener is reported to the emitter's `onError`. It stops neither the other listeners nor
/// the emitter, and the listener stays registered.
///
/// **Threads.** Everything may be called from any thread at any time, including from within a listener: emitting,
/// registering and removing. A change affects the events emitted after it. An ``emit(_:)`` in progress finishes with
/// the listeners it began with, so a listener that is removed meanwhile may be called once more. ``emit(_:)`` takes no
/// lock.
public final class LocalEmitter: Sendable {
    private let registry = Locked(ListenerRegistry())
    private let lastID = Atomic<UInt64>(0)
    @usableFromInline
    let table = SnapshotCell<ListenerTable>()
    /// A copy of the registry's interest that can be read without its lock.
    @usableFromInline
    let interest = Atomic<UInt64>(0)
    private let activity = ActivityTracker()
    let reporter: FailureReporter
    private let codec: LocalEvent.Codec?
    /// The clock of time limits.
    let clock: AnyClock
    /// The streams that end with the emitter.
    let streams = Locked(EventStreams())

    /// Creates an emitter without listeners.
    ///
    /// - Parameters:
    ///   - codec: The codec of ``LocalEvent/payload()``, or `nil` for plain JSON. Defaults to `nil`.
    ///   - onError: A closure that is called for every listener that threw or whose mailbox was full, on the emitting
    ///     thread or in the asynchronous listener's task. Defaults to writing a line to standard error.
    public convenience init(
        codec: (any EventCodec)? = nil,
        onError: (@Sendable (LocalListenerFailure) -> Void)? = nil
    ) {
        self.init(codec: codec, clock: .continuous, onError: onError)
    }

    init(codec: (any EventCodec)?, clock: AnyClock, onError: (@Sendable (LocalListenerFailure) -> Void)?) {
        self.codec = codec.map(LocalEvent.Codec.init)
        self.clock = clock
        self.reporter = FailureReporter(onError ?? FailureReporter.writeToStandardError)
    }

    deinit { endStreams() }

    // MARK: Emitting

    /// Adds `event` to the mailbox of every asynchronous listener, then calls every synchronous listener. Returns when
    /// all of that is done.
    ///
    /// ```swift
    /// bus.local.emit(OrderCreated(orderID: "42"))
    /// ```
    ///
    /// A listener that emits the event that it listens to calls itself endlessly.
    @inlinable
    public func emit<E: Event>(_ event: E) {
        if interest.load(ordering: .relaxed) & Self.interestBit(of: ObjectIdentifier(E.self)) == 0 { return }
        withList(for: E.self) { $0.deliver(event) }
    }

    /// Returns a Boolean value indicating whether there are listeners for events of type `type`. The call is cheap
    /// enough to make before creating an event.
    public func hasListeners<E: Event>(for type: E.Type) -> Bool {
        if interest.load(ordering: .relaxed) & Self.interestBit(of: ObjectIdentifier(type)) == 0 { return false }
        return withList(for: type) { $0.count } > 0
    }

    /// Returns the number of listeners that an event of type `type` reaches, including pattern listeners.
    public func listenerCount<E: Event>(for type: E.Type) -> Int {
        withList(for: type) { $0.count }
    }

    /// The number of registered listeners.
    public var listenerCount: Int { registry.withLock { $0.count } }

    /// Waits until every asynchronous listener has handled all events emitted so far and meanwhile: no mailbox contains
    /// an event, and no asynchronous listener is running. Returns early if the task is cancelled.
    ///
    /// ```swift
    /// bus.local.emit(OrderCreated(orderID: "42"))
    /// await bus.local.idle()
    /// #expect(mails.count == 1)
    /// ```
    ///
    /// An asynchronous listener must not call it, because it would wait for itself.
    public func idle() async {
        await activity.idle()
    }

    /// The number of events that wait for asynchronous listeners or are being handled by them.
    public var pendingCount: Int { activity.pendingEvents.load(ordering: .relaxed) }

    /// Returns the work of the asynchronous listeners, for those who wait until a system has nothing to do.
    func pendingActivity() -> Activity {
        guard let idle = activity.idleSignal() else { return .idle }
        return .busy(description: "\(pendingCount) events are with async local listeners", change: idle)
    }

    // MARK: Removing

    /// Removes a listener. Has no effect if it was already removed.
    ///
    /// ```swift
    /// let listener = bus.local.on(OrderCreated.self) { order in print(order.orderID) }
    /// bus.local.remove(listener)
    /// ```
    ///
    /// Events that are emitted afterwards do not reach it. Its closure is released immediately, or when the calls of
    /// ``emit(_:)`` in progress on other threads have ended. These may call it once more. Events in an asynchronous
    /// listener's mailbox are dropped. A running call is not interrupted.
    public func remove(_ listener: LocalListener) {
        guard listener.emitter === self else { return }
        unregister(listener.id)?.close()
    }

    /// Removes all listeners, each as ``remove(_:)`` does.
    public func removeAll() {
        // The removed objects are released outside the lock, because that may run deinitializers of users.
        let (former, unread) = registry.withLock { registry in
            let former = registry
            registry = ListenerRegistry()
            return (former, publish(registry, withTable: false))
        }
        _ = unread
        for mailbox in former.mailboxes { mailbox.close() }
    }

    /// Removes a listener, and returns its mailbox with the waiting events.
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

    /// A listener's closure for a value.
    enum Registration<Value> {
        /// A closure that is called on the emitting thread.
        case sync(@Sendable (Value) throws -> Void)
        /// A closure that adds the value to a mailbox, and the mailbox if removing the listener has to drop the waiting
        /// events.
        case async(@Sendable (Value, LocalEmission?) throws -> Void, mailbox: (any ClosableMailbox)?)

        var mailbox: (any ClosableMailbox)? {
            if case .async(_, let mailbox) = self { mailbox } else { nil }
        }
    }

    func register<E: Event>(
        _ type: E.Type,
        file: String,
        line: Int,
        _ make: (LocalListener) -> Registration<E>
    ) -> LocalListener {
        let listener = makeListener(file: file, line: line)
        let registration = make(listener)
        add { $0.add(Listener(token: listener, registration), mailbox: registration.mailbox) }
        return listener
    }

    func register(
        _ pattern: TopicPattern,
        file: String,
        line: Int,
        _ make: (LocalListener) -> Registration<LocalEvent>
    ) -> LocalListener {
        let listener = makeListener(file: file, line: line)
        let registration = make(listener)
        add { $0.add(Listener(token: listener, registration), for: pattern, mailbox: registration.mailbox) }
        return listener
    }

    func makeMailbox<Element: Sendable>(
        capacity: Int,
        for listener: LocalListener,
        topic: @escaping @Sendable (Element) -> Topic,
        _ body: @escaping @Sendable (Element) async throws -> Void
    ) -> Mailbox<Element> {
        Mailbox(capacity: capacity, activity: activity, reporter: reporter, body: body) { error, element in
            LocalListenerFailure(topic: topic(element), listener: listener, error: error)
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

    /// Returns the bit that represents a type in ``interest``.
    @inlinable
    static func interestBit(of type: ObjectIdentifier) -> UInt64 {
        1 << UInt64(truncatingIfNeeded: ListenerTable.hash(UInt(bitPattern: type)) >> (UInt(UInt.bitWidth) - 6))
    }

    /// Calls `body` with the borrowed listeners for `E`.
    @inlinable
    func withList<E: Event, Result>(for type: E.Type, _ body: (ListenerList<E>) -> Result) -> Result {
        let slot = table.enter()
        // Safe because the slot stays entered until `leave`, so the table and its lists stay alive.
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

    /// Returns the listeners for `E`, resolved under the lock. The next ``emit(_:)`` finds them without it.
    @usableFromInline
    @inline(never)
    func resolve<E: Event>(_ type: E.Type) -> ListenerList<E> {
        // Outside the lock, because topics are user code.
        let topic = E.topicPattern.isExact ? E.topic : nil
        let (list, unread) = registry.withLock { registry in
            let list = registry.resolve(type, topic: topic, reporter: reporter, codec: codec)
            return (list, publish(registry, withTable: true))
        }
        _ = unread
        return list
    }

    /// Makes a changed registry visible to emitting threads. Call it with the lock held.
    ///
    /// - Returns: The former table if nobody reads it any more. Release it outside the lock.
    private func publish(_ registry: borrowing ListenerRegistry, withTable: Bool) -> ListenerTable? {
        interest.store(registry.interest, ordering: .relaxed)
        return table.replace(with: withTable ? ListenerTable(registry.resolved) : nil)
    }
}
