import DequeModule
import EventBus

/// Who of this process waits for what: no clock, no I/O.
///
/// Only the first in line for a resource asks the server again and again, on behalf of all; the others sleep until they
/// are woken or their own time is over.
struct LockLines {
    typealias Token = String

    private var lines: [ExactString: Deque<Token>] = [:]
    private var resources: [Token: ExactString] = [:]

    mutating func join(_ token: Token, for resource: String) {
        let resource = ExactText(resource)
        lines[resource, default: []].append(token)
        resources[token] = resource
    }

    /// Takes a waiter out of line; returns who is first by that and has to ask from now on.
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
