/// A collection of values under topic patterns, which are looked up by topic.
///
/// It is a trie of words: a lookup visits only branches that can still match, so patterns that do not match cost
/// nothing. A pattern may have several values. A removal frees nodes that became empty.
package struct TopicTrie<Value> {
    fileprivate struct Node {
        var values: [Value] = []
        var literals: [ExactText<Substring>: Int] = [:]
        var one: Int?
        var many: Int?
        /// A Boolean value indicating whether this node represents a `#`, which can match any number of further words.
        let isMany: Bool

        var isEmpty: Bool { values.isEmpty && literals.isEmpty && one == nil && many == nil }

        func child(_ word: TopicPattern.Word) -> Int? {
            switch word {
            case .literal(let text): literals[text]
            case .one: one
            case .many: many
            }
        }

        mutating func setChild(_ word: TopicPattern.Word, _ index: Int?) {
            switch word {
            case .literal(let text): literals[text] = index
            case .one: one = index
            case .many: many = index
            }
        }
    }

    private struct Visit: Hashable {
        var node: Int
        var position: Int
    }

    private var nodes = [Node(isMany: false)]
    private var freeNodes: [Int] = []

    /// The number of values.
    package private(set) var count = 0

    package init() {}

    /// The values under all patterns, in no particular order.
    package var allValues: [Value] { nodes.flatMap(\.values) }

    /// Adds `value` under `pattern`.
    package mutating func insert(_ value: Value, for pattern: TopicPattern) {
        var index = 0
        for word in pattern.words {
            if let child = nodes[index].child(word) {
                index = child
            } else {
                let child = makeNode(isMany: word == .many)
                nodes[index].setChild(word, child)
                index = child
            }
        }
        nodes[index].values.append(value)
        count += 1
    }

    /// Removes every value under `pattern` for which `shouldRemove` returns `true`.
    package mutating func remove(for pattern: TopicPattern, where shouldRemove: (Value) -> Bool) {
        var path: [Int] = [0]
        for word in pattern.words {
            guard let child = nodes[path[path.count - 1]].child(word) else { return }
            path.append(child)
        }
        let leaf = path[path.count - 1]
        let before = nodes[leaf].values.count
        nodes[leaf].values.removeAll(where: shouldRemove)
        count -= before - nodes[leaf].values.count
        for depth in stride(from: pattern.words.count, to: 0, by: -1) where nodes[path[depth]].isEmpty {
            nodes[path[depth - 1]].setChild(pattern.words[depth - 1], nil)
            freeNodes.append(path[depth])
        }
    }

    /// Returns every value whose pattern matches `topic`, each once, even if its pattern matches in several ways.
    package func values(matching topic: Topic) -> [Value] {
        var found: [Value] = []
        // Only a `#` can lead to one node in two ways. Visits below a `#` are remembered, which also keeps patterns
        // with many `#` from taking exponential time.
        var seenBelowMany: Set<Visit> = []
        collect(0, topic.words, 0, belowMany: false, &seenBelowMany, &found)
        return found
    }

    private func collect(
        _ index: Int,
        _ words: [Substring],
        _ position: Int,
        belowMany: Bool,
        _ seen: inout Set<Visit>,
        _ found: inout [Value]
    ) {
        if belowMany && !seen.insert(Visit(node: index, position: position)).inserted { return }
        let node = nodes[index]
        if let many = node.many {
            collect(many, words, position, belowMany: true, &seen, &found)
        }
        guard position < words.count else {
            found += node.values
            return
        }
        if node.isMany {
            collect(index, words, position + 1, belowMany: true, &seen, &found)
        }
        if let child = node.literals[ExactText(words[position])] {
            collect(child, words, position + 1, belowMany: belowMany, &seen, &found)
        }
        if let child = node.one {
            collect(child, words, position + 1, belowMany: belowMany, &seen, &found)
        }
    }

    private mutating func makeNode(isMany: Bool) -> Int {
        if let free = freeNodes.popLast() {
            nodes[free] = Node(isMany: isMany)
            return free
        }
        nodes.append(Node(isMany: isMany))
        return nodes.count - 1
    }
}

extension TopicTrie: Sendable where Value: Sendable {}
extension TopicTrie.Node: Sendable where Value: Sendable {}
