/// What went wrong in the bus, a transport, or one of the services beside them.
///
/// Compare ``code`` with the static members of ``Code``; new ones may be added in any release.
public struct EventBusError: Error, Sendable {
    /// What kind of failure it was.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Storage: String, Sendable {
            case invalidTopic, invalidName, invalidEnvelope, invalidConfiguration
            case encodingFailed, decodingFailed, tooLarge
            case timedOut, indeterminate, rejected, blocked, unroutable, unavailable
            case shuttingDown, shutdownTimedOut, alreadyRunning
            case duplicateSubscription, topologyClash, accessRefused, authenticationFailed, notFound
            case newerVersion, staleBinding, staleDelivery, remoteFailure, unsupported
            case lockTimedOut, lockLost, lockNotOwned, leaseExpired
            case mailboxFull, reentrant
        }

        private let storage: Storage

        private init(_ storage: Storage) { self.storage = storage }

        /// The code's name.
        public var description: String { storage.rawValue }

        /// A text is not a topic or a topic pattern.
        public static let invalidTopic = Code(.invalidTopic)
        /// The name of a group or of a subscription has characters it may not have, or is missing where it is required.
        public static let invalidName = Code(.invalidName)
        /// A field or header of an event cannot go over the wire: too long, reserved or nested too deeply.
        public static let invalidEnvelope = Code(.invalidEnvelope)
        /// A configured value makes no sense; the message names the key.
        public static let invalidConfiguration = Code(.invalidConfiguration)
        /// The codec could not encode the event. Nothing was sent.
        public static let encodingFailed = Code(.encodingFailed)
        /// The codec could not decode the payload.
        public static let decodingFailed = Code(.decodingFailed)
        /// The event exceeds the transport's limit. Nothing was sent.
        public static let tooLarge = Code(.tooLarge)
        /// The deadline passed before the event was sent. Nothing was sent.
        public static let timedOut = Code(.timedOut)
        /// The event was sent, but no confirmation came before the deadline: the broker may hold it or not.
        public static let indeterminate = Code(.indeterminate)
        /// The broker refused the event. Some queues may hold it all the same: where one of several matching queues
        /// refuses, the others keep their copy. Publishing again with the same ``PublishOptions/id`` is safe.
        public static let rejected = Code(.rejected)
        /// The broker takes no events at present (a resource alarm, a full queue), and the deadline passed.
        public static let blocked = Code(.blocked)
        /// No subscription matches, where one was required.
        public static let unroutable = Code(.unroutable)
        /// The broker or store cannot be reached.
        public static let unavailable = Code(.unavailable)
        /// The bus is shutting down and accepts no more events from outside handlers.
        public static let shuttingDown = Code(.shuttingDown)
        /// Handlers were still running at the shutdown deadline, and their deliveries went back to the broker; or async
        /// local listeners had events left.
        public static let shutdownTimedOut = Code(.shutdownTimedOut)
        /// `run()` was called a second time. (Called after ``EventBus/shutdown()``, it throws ``shuttingDown``.)
        public static let alreadyRunning = Code(.alreadyRunning)
        /// Two subscriptions of one bus would share one queue.
        public static let duplicateSubscription = Code(.duplicateSubscription)
        /// The broker already has an object of this name with other arguments.
        public static let topologyClash = Code(.topologyClash)
        /// The user lacks a permission on the broker.
        public static let accessRefused = Code(.accessRefused)
        /// User name, password or certificate was refused.
        public static let authenticationFailed = Code(.authenticationFailed)
        /// A named object does not exist.
        public static let notFound = Code(.notFound)
        /// The event's version is newer than this instance knows.
        public static let newerVersion = Code(.newerVersion)
        /// An event came through a binding that the subscription no longer asks for.
        public static let staleBinding = Code(.staleBinding)
        /// The connection that brought a delivery is gone; the broker delivers it again.
        public static let staleDelivery = Code(.staleDelivery)
        /// The responder answered a request with an error.
        public static let remoteFailure = Code(.remoteFailure)
        /// The transport cannot do this.
        public static let unsupported = Code(.unsupported)
        /// A lock was not granted within the time given to wait.
        public static let lockTimedOut = Code(.lockTimedOut)
        /// A lease ended while its holder still worked: the lock may have another owner.
        public static let lockLost = Code(.lockLost)
        /// A lease was released or extended by someone who does not own it.
        public static let lockNotOwned = Code(.lockNotOwned)
        /// A lease was used after its time.
        public static let leaseExpired = Code(.leaseExpired)
        /// An async local listener has as many events waiting as its mailbox may hold, and did not get this one.
        public static let mailboxFull = Code(.mailboxFull)
        /// A task asked for a lock that it holds, or for a value that waits for its own computation: it would have waited
        /// for itself.
        public static let reentrant = Code(.reentrant)
    }

    /// What kind of failure it was.
    public var code: Code
    /// What was wrong, and what to do about it, for a person to read.
    public var message: String
    /// The error that led to this one.
    public var underlying: (any Error)?
    /// The source file in which the error was made.
    public var file: String
    /// The line in ``file``.
    public var line: Int

    /// An error; `file` and `line` default to the caller's.
    public init(
        _ code: Code,
        _ message: String,
        underlying: (any Error)? = nil,
        file: String = #fileID,
        line: Int = #line
    ) {
        self.code = code
        self.message = message
        self.underlying = underlying
        self.file = file
        self.line = line
    }
}

extension EventBusError: CustomStringConvertible {
    /// The longest description, in UTF-8 bytes.
    private static let maximumDescriptionLength = 4096

    /// Code, message and cause in one line, without control characters, cut to 4 KiB.
    public var description: String {
        let cause = underlying.map { " (caused by: \($0))" } ?? ""
        return "\(code): \(message)\(cause)".prefixed(toUTF8Length: Self.maximumDescriptionLength).printable
    }
}
