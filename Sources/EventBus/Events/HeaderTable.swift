/// A table of header values by name.
///
/// ```swift
/// let table: HeaderTable = ["tenant": "acme", "priority": 3]
/// ```
///
/// Names are compared byte by byte, as brokers do. Unlike in a Swift dictionary, two names that differ only in Unicode
/// normalization are two names.
public struct HeaderTable: Hashable, Sendable {
    private var values: [ExactString: HeaderValue]

    /// Creates an empty table.
    public init() {
        values = [:]
    }

    /// Creates a table with these values.
    public init(_ values: [String: HeaderValue]) {
        self.init(minimumCapacity: values.count)
        for (name, value) in values { self[name] = value }
    }

    /// Creates an empty table with room for values.
    package init(minimumCapacity: Int) {
        values = Dictionary(minimumCapacity: minimumCapacity)
    }

    /// A Boolean value indicating whether there are no values.
    public var isEmpty: Bool { values.isEmpty }

    /// The number of values.
    public var count: Int { values.count }

    /// The value named `name`. Assigning `nil` removes it.
    public subscript(name: String) -> HeaderValue? {
        get { values[ExactText(name)] }
        set { values[ExactText(name)] = newValue }
    }

    /// Returns the table of the values for which `isIncluded` returns `true`.
    public func filter(_ isIncluded: (Element) throws -> Bool) rethrows -> HeaderTable {
        var table = HeaderTable()
        table.values = try values.filter { try isIncluded((name: $0.key.text, value: $0.value)) }
        return table
    }
}

extension HeaderTable: Sequence {
    /// A name and its value.
    public typealias Element = (name: String, value: HeaderValue)

    /// An iterator over the values of a table.
    public struct Iterator: IteratorProtocol {
        fileprivate var base: Dictionary<ExactString, HeaderValue>.Iterator

        /// Returns the next value and its name, or `nil` if there are no more.
        public mutating func next() -> Element? {
            base.next().map { (name: $0.key.text, value: $0.value) }
        }
    }

    /// Returns an iterator over the values, in no particular order.
    public func makeIterator() -> Iterator { Iterator(base: values.makeIterator()) }
}

extension HeaderTable: ExpressibleByDictionaryLiteral {
    /// Creates a table with these values. If a name occurs twice, the later value counts.
    public init(dictionaryLiteral elements: (String, HeaderValue)...) {
        self.init(minimumCapacity: elements.count)
        for (name, value) in elements { self[name] = value }
    }
}
