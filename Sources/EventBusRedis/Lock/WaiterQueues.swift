import DequeModule
import EventBus

/// The waiters of this process, in one queue for each resource. It reads no clock and performs no I/O.
///
/// Only the first waiter for a resource polls the server, on behalf of all. The others sleep until they are woken or
/// until their own time is over.
struct WaiterQueues {
    typealias Token = String

    private var lines: [ExactString: Deque<Token>] = [:]
    private var resources: [Token: ExactString] = [:]

    mutating func join(_ token: Token, for resource: String) {
        let resource = ExactText(resource)
        lines[resource, default: []].append(token)
        resources[token] = resource
    }

    /// Removes a waiter. Returns the waiter that is first as a result, and that has to poll from now on.
    mutating func leave(_ token: Token) -> Token? {
        guard let resource = resources.removeValue(forKey: token), var line = lines.removeValue(forKey: resource) else {
            return nil
        }
        let wasFirst = line.first == token
        if wasFirst { line.removeFirst() } else { line.removeAll { $0 == token } }
        guard let first = line.first else { return nil }
        lines[resource] = line
        return wasFirst ? first : nil
    }

    func isFirst(_ token: Token) -> Bool {
        guard let resource = resources[token] else { return false }
        return lines[resource]?.first == token
    }

    func contains(_ token: Token) -> Bool { resources[token] != nil }

    var tokens: [Token] { Array(resources.keys) }
}
