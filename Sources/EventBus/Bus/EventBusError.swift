/// An error of the bus, a transport, or one of the accompanying services.
///
/// Compare ``code`` with the static members of ``Code``. New codes may be added in any release.
///
/// ```swift
/// do {
///     try await bus.publish(order)
/// } catch let error as EventBusError where error.code == .tooLarge {
///     logger.error("\(error)")
/// }
/// ```
public struct EventBusError: Error, Sendable {
    /// The kind of an error.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Storage: String, Sendable {
            case invalidTopic, invalidName, invalidEnvelope, invalidConfiguration
            case encodingFailed, decodingFailed, tooLarge
            case timedOut, indeterminate, rejected, blocked, unroutable, unavailable
            case shuttingDown, shutdownTimedOut, alreadyRunning
            case duplicateSubscription, topologyClash, accessRefused, authenticationFailed, notFound
            case newerVersion, staleBinding, staleDelivery, remoteFailure, unsupported
            case lockTimedOut, lockLost, lockNotOwned, leaseExpired
            case mailboxFull, reentrant, rateLimited
        }

        private let storage: Storage

        private init(_ storage: Storage) { self.storage = storage }

        /// The code's name.
        public var description: String { storage.rawValue }

        /// A text is not a valid topic or topic pattern.
        public static let invalidTopic = Code(.invalidTopic)
        /// The name of a group or subscription contains invalid characters, or a required name is missing.
        public static let invalidName = Code(.invalidName)
        /// A field or header of an event cannot be sent because it is too long, reserved or nested too deeply.
        public static let invalidEnvelope = Code(.invalidEnvelope)
        /// A configured value is invalid. The message names the key.
        public static let invalidConfiguration = Code(.invalidConfiguration)
        /// The codec could not encode the event. Nothing was sent.
        public static let encodingFailed = Code(.encodingFailed)
        /// The codec could not decode the payload.
        public static let decodingFailed = Code(.decodingFailed)
        /// The event exceeds a limit of the transport. Nothing was sent.
        public static let tooLarge = Code(.tooLarge)
        /// The deadline passed before the event was sent. Nothing was sent.
        public static let timedOut = Code(.timedOut)
        /// The event was sent, but no confirmation arrived before the deadline. The broker may or may not have the
        /// event.
        public static let indeterminate = Code(.indeterminate)
        /// The broker refused the event. Some queues may have it nevertheless: if one of several matching queues
        /// refuses, the others keep their copies. Publishing again with the same ``PublishOptions/id`` is safe.
        public static let rejected = Code(.rejected)
        /// The broker currently accepts no events (a resource alarm, a full queue), and the deadline passed.
        public static let blocked = Code(.blocked)
        /// No subscription matches, although one is required.
        public static let unroutable = Code(.unroutable)
        /// The broker or store cannot be reached.
        public static let unavailable = Code(.unavailable)
        /// The bus is shutting down and accepts no more events from outside handlers.
        public static let shuttingDown = Code(.shuttingDown)
        /// Handlers were still running at the shutdown deadline and their deliveries were returned to the broker, or
        /// asynchronous local listeners had events left.
        public static let shutdownTimedOut = Code(.shutdownTimedOut)
        /// `run()` was called a second time. If it is called after ``EventBus/shutdown()``, it throws ``shuttingDown``
        /// instead.
        public static let alreadyRunning = Code(.alreadyRunning)
        /// Two subscriptions of one bus would share a queue.
        public static let duplicateSubscription = Code(.duplicateSubscription)
        /// The broker already has an object of this name with other arguments.
        public static let topologyClash = Code(.topologyClash)
        /// The user lacks a permission on the broker.
        public static let accessRefused = Code(.accessRefused)
        /// The user name, password or certificate was refused.
        public static let authenticationFailed = Code(.authenticationFailed)
        /// A named object does not exist.
        public static let notFound = Code(.notFound)
        /// The event's version is newer than this instance supports.
        public static let newerVersion = Code(.newerVersion)
        /// An event arrived through a binding that the subscription no longer requests.
        public static let staleBinding = Code(.staleBinding)
        /// The connection of a delivery is gone. The broker redelivers the event.
        public static let staleDelivery = Code(.staleDelivery)
        /// The responder answered a request with an error.
        public static let remoteFailure = Code(.remoteFailure)
        /// The transport does not support this.
        public static let unsupported = Code(.unsupported)
        /// A lock was not granted within the time to wait.
        public static let lockTimedOut = Code(.lockTimedOut)
        /// A lease ended while its holder was still working. The lock may have another owner.
        public static let lockLost = Code(.lockLost)
        /// A lease was released or extended by someone who does not own it.
        public static let lockNotOwned = Code(.lockNotOwned)
        /// A lease was used after its end.
        public static let leaseExpired = Code(.leaseExpired)
        /// The mailbox of an asynchronous local listener is full, so the listener did not receive the event.
        public static let mailboxFull = Code(.mailboxFull)
        /// A task requested a lock that it holds, or a value that waits for its own computation. It would have waited
        /// for itself.
        public static let reentrant = Code(.reentrant)
        /// A rate limit has no permits within the time to wait.
        public static let rateLimited = Code(.rateLimited)
    }

    /// The kind of the error.
    public var code: Code
    /// The description of the problem and its remedy, for people to read.
    public var message: String
    /// The error that caused this one.
    public var underlying: (any Error)?
    /// The number of items that were completed before the error, if the call works on many, such as the replay of dead
    /// letters. Otherwise `nil`.
    public var completedCount: Int?
    /// The source file in which the error was created.
    public var file: String
    /// The line in ``file``.
    public var line: Int

    /// Creates an error. `file` and `line` default to those of the caller.
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

    /// Returns the error with the number of items that were completed before it.
    package func completing(_ count: Int) -> EventBusError {
        var error = self
        error.completedCount = count
        return error
    }
}

extension EventBusError: CustomStringConvertible {
    /// The maximum length of a description, in UTF-8 bytes.
    private static let maximumDescriptionLength = 4096

    /// The code, message and cause on one line, without control characters, truncated to 4 KiB.
    public var description: String {
        let cause = underlying.map { " (caused by: \($0))" } ?? ""
        return "\(code): \(message)\(cause)".printable(upToUTF8Length: Self.maximumDescriptionLength)
    }
}
