import EventBus
import Glibc

/// The actions of all instances on the events of each key, in order.
///
/// It is a file, so that several processes can write it. Each line is written completely, and a killed process loses
/// none.
struct KeyJournal: Sendable {
    let path: String

    /// The reports of a handler.
    enum Mark: String {
        case began = "b"
        case failed = "f"
        case ended = "e"
    }

    struct Entry {
        var instance: String
        var mark: Mark
        var key: String
        var number: Int
    }

    func note(_ instance: String, _ mark: Mark, _ event: String) {
        append("\(instance) \(mark.rawValue) \(event)")
    }

    /// Records that an instance is attached.
    func noteAttached(_ instance: String) { append("\(instance) attached \(getpid())") }

    /// Returns the process of an attached instance.
    func process(of instance: String) -> pid_t? {
        lines.first { $0.starts(with: [Substring(instance), "attached"]) }.flatMap { pid_t($0[2]) }
    }

    var entries: [Entry] {
        lines.compactMap { words in
            guard words.count == 4, let mark = Mark(rawValue: String(words[1])), let number = Int(words[3]) else {
                return nil
            }
            return Entry(instance: String(words[0]), mark: mark, key: String(words[2]), number: number)
        }
    }

    private var lines: [[Substring]] {
        (contents(of: path) ?? "").split(separator: "\n").map { $0.split(separator: " ") }
    }

    private func append(_ line: String) {
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let bytes = Array("\(line)\n".utf8)
        _ = write(descriptor, bytes, bytes.count)
    }
}

/// The evaluation of a journal.
struct KeyOrder: CustomStringConvertible {
    /// The number of events that were started before the previous one was done.
    var inversions = 0
    /// The number of events that were started again, after a failure or by another instance.
    var repetitions = 0
    var done: [String: Set<Int>] = [:]
    /// The instances that handled events, in the order of their first event.
    var instances: [String] = []

    init(_ entries: [KeyJournal.Entry]) {
        var begun: [String: Set<Int>] = [:]
        for entry in entries {
            if !instances.contains(entry.instance) { instances.append(entry.instance) }
            switch entry.mark {
            case .began:
                if !begun[entry.key, default: []].insert(entry.number).inserted { repetitions += 1 }
                if entry.number > 0, done[entry.key]?.contains(entry.number - 1) != true { inversions += 1 }
            case .failed: break
            case .ended: done[entry.key, default: []].insert(entry.number)
            }
        }
    }

    var count: Int { done.values.reduce(0) { $0 + $1.count } }

    var description: String {
        "\(count) events of \(done.count) keys, \(inversions) inversions, \(repetitions) begun again, by \(instances)"
    }
}
