import EventBus

/// The failure of a call, a channel or a connection.
struct AMQPFailure: Error, Hashable, Sendable, CustomStringConvertible {
    enum Kind: Hashable, Sendable {
        /// The broker closed the channel, with this code.
        case channelClosed(UInt16)
        /// The broker closed the connection, with this code.
        case connectionClosed(UInt16)
        /// The queue exists but is unusable, because it has no leader or its node is down.
        case queueDown
        /// The connection broke or became silent.
        case connectionLost
        /// The host could not be reached, or no session was established.
        case connectFailed
        /// The broker's certificate was not accepted, or the broker did not accept ours.
        case tlsFailed
        /// This side closed the connection.
        case closedByUs
        /// The queue is a stream.
        case stream
    }

    var kind: Kind
    var text: String
    /// The user of a failed login, if it was known.
    var user: String?
    /// A Boolean value indicating whether the broker was silent for too long.
    var isTimeout: Bool

    init(_ kind: Kind, _ text: String, isTimeout: Bool = false) {
        self.kind = kind
        self.text = text
        self.isTimeout = isTimeout
    }

    var description: String {
        switch kind {
        case .channelClosed where isExclusivelyConsumed: "another client consumes the queue exclusively: \(text)"
        case .channelClosed(let code): "channel closed by the broker, \(code): \(text)"
        case .connectionClosed(let code): "connection closed by the broker, \(code): \(text)"
        case .queueDown: "the queue is there and does not serve, it has no leader or its node is down: \(text)"
        case .connectionLost: "connection lost: \(text)"
        case .connectFailed: "cannot connect: \(text)"
        case .tlsFailed: "no TLS session: \(text)"
        case .closedByUs: "connection closed: \(text)"
        case .stream: "\(text) is a stream, which takes no event back, so it cannot be consumed as a queue"
        }
    }

    /// The broker's code, if it sent one.
    var code: UInt16? {
        switch kind {
        case .channelClosed(let code), .connectionClosed(let code): code
        default: nil
        }
    }

    /// A Boolean value indicating whether the failure ended only the channel, so that the connection is alive.
    var isChannelOnly: Bool {
        switch kind {
        case .channelClosed, .queueDown, .stream: true
        default: false
        }
    }

    static let accessRefused: UInt16 = 403
    static let notFound: UInt16 = 404
    static let resourceLocked: UInt16 = 405
    static let preconditionFailed: UInt16 = 406
    static let notAllowed: UInt16 = 530
    static let notImplemented: UInt16 = 540
    static let internalError: UInt16 = 541

    /// A Boolean value indicating whether the broker ended the connection with an error that one of our events may have
    /// caused, and not because it was told to (320) or because of our identity (403, 530).
    var isErrorOfPeer: Bool {
        guard case .connectionClosed(let code) = kind else { return false }
        return (500..<600).contains(code) && code != Self.notAllowed
    }

    /// A Boolean value indicating whether the queue has an exclusive consumer. The broker's code for it is that of a
    /// missing permission, which instead begins with `access to` or `read access to`. The end of the text may be missing,
    /// because the broker truncates it.
    var isExclusivelyConsumed: Bool {
        kind == .channelClosed(Self.accessRefused) && text.hasPrefix("ACCESS_REFUSED - queue '")
    }

    /// A Boolean value indicating whether the broker ended the connection because of an internal error.
    var isInternalError: Bool { kind == .connectionClosed(Self.internalError) }

    /// A Boolean value indicating whether a queue exists but is unusable. Consuming a quorum queue without a leader is
    /// an internal error.
    var isQueueDown: Bool {
        if isInternalError || kind == .queueDown { return true }
        guard code == Self.notFound else { return false }
        return [
            "is down or inaccessible", "has crashed and failed to restart", "is stopped by supervisor",
            "due to timeout",
        ].contains { text.part(after: $0, before: nil) != nil }
    }
}
