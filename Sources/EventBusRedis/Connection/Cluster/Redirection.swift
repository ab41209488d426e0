import EventBus

/// A reply with which a node of a cluster does not execute a command.
enum Redirection: Equatable {
    /// Another node serves the slot.
    case moved(slot: Int, NodeAddress)
    /// The keys are on their way to another node, which has to be told that it was asked because of that.
    case ask(NodeAddress)
    /// The command is worth repeating, because some of its keys have moved and others have not.
    case tryAgain
    /// The cluster, or this part of it, is down.
    case down

    /// Creates the meaning of a reply, or returns `nil` if the command was executed or refused for good.
    ///
    /// - Parameter host: The host that sent the reply.
    init?(_ reply: RedisValue, from host: String) {
        guard case .error(let message) = reply else { return nil }
        let words = message.split(separator: " ")
        switch words.first {
        case "MOVED":
            guard words.count == 3, let slot = Int(words[1]), 0..<SlotMap.slotCount ~= slot,
                let address = NodeAddress(words[2], fallback: host)
            else { return nil }
            self = .moved(slot: slot, address)
        case "ASK":
            guard words.count == 3, let address = NodeAddress(words[2], fallback: host) else { return nil }
            self = .ask(address)
        case "TRYAGAIN": self = .tryAgain
        case "CLUSTERDOWN": self = .down
        default: return nil
        }
    }
}

extension RedisValue {
    /// The reply, or an error that is worth a repetition if a script was interrupted because its slot is being moved.
    ///
    /// Such a script may have had a part of its effect, so only its caller knows whether to repeat it.
    var notingMovingSlot: RedisValue {
        guard case .error(let message) = self, message.contains("Script attempted to access a non local key") else {
            return self
        }
        return .error("TRYAGAIN a script was interrupted because its keys are being moved, or uses others: \(message)")
    }
}
