/// A fault, with everything that was drawn for it.
package struct Fault: Codable, Hashable, Sendable {
    /// The kind of a fault.
    package enum Kind: String, Codable, CaseIterable, Sendable {
        case rabbitKill, rabbitPause, redisKill, redisPause
        case workerKill, workerPause, workerRestart
        case connectionsReset, connectionCut, latency, throttle, oneWayLoss
        case memoryAlarm, passwordChanged, policySet
        case queueDeleted, bindingDeleted, exchangeDeleted, delayLevelDeleted, deadLettersDeleted
    }

    /// The kind.
    package var kind: Kind
    /// The worker, the server behind the proxy, or the topic's group that is affected.
    package var target: String
    /// The time between the fault and its removal, in milliseconds.
    package var milliseconds: Int
    /// A number that depends on the kind, such as bytes.
    package var amount: Int

    /// Creates a fault.
    package init(_ kind: Kind, target: String = "", milliseconds: Int = 0, amount: Int = 0) {
        self.kind = kind
        self.target = target
        self.milliseconds = milliseconds
        self.amount = amount
    }
}

extension Fault: CustomStringConvertible {
    /// The kind, the target, the duration and the amount.
    package var description: String {
        var words = [kind.rawValue]
        if !target.isEmpty { words.append(target) }
        if milliseconds > 0 { words.append("\(milliseconds) ms") }
        if amount > 0 { words.append("(\(amount))") }
        return words.joined(separator: " ")
    }
}

/// A fault that happened.
package struct FaultEntry: Codable, Sendable {
    /// The fault.
    package var fault: Fault
    /// The time of its beginning, in nanoseconds of the machine's monotonic clock.
    package var began: UInt64
    /// The time of its removal.
    package var healed: UInt64

    /// Creates an entry.
    package init(fault: Fault, began: UInt64, healed: UInt64) {
        self.fault = fault
        self.began = began
        self.healed = healed
    }
}
