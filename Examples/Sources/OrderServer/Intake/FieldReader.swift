import EventBusServiceKit
import TerminalText

/// A reader for the fields of one JSON object, which records all problems instead of stopping at the first.
struct FieldReader {
    private let container: KeyedDecodingContainer<FieldName>?
    private let path: FieldPath
    /// The problems so far.
    private(set) var problems: [HTTPProblem.FieldError] = []

    /// Creates a reader for `decoder`.
    ///
    /// - Parameters:
    ///   - name: The name of the object, such as `an order`.
    ///   - fields: The allowed fields.
    init(_ decoder: any Decoder, of name: String, fields: [String]) {
        path = FieldPath(decoder.codingPath)
        container = try? decoder.container(keyedBy: FieldName.self)
        guard let container else {
            problems.append(path.problem("has to be \(name): an object with \(fields.joined(separator: ", "))"))
            return
        }
        for key in container.allKeys.map(\.stringValue).sorted() where !fields.contains(key) {
            // By bytes, because one character may be as long as the request.
            let field = path.appending(key.cut(toUTF8Length: 100).printable)
            problems.append(field.problem("is no field of \(name), which has \(fields.joined(separator: ", "))"))
        }
    }

    /// A Boolean value indicating whether the JSON value is an object.
    var isObject: Bool { container != nil }

    /// Returns a Boolean value indicating whether there is a field with this name.
    func has(_ name: String) -> Bool {
        container?.contains(FieldName(stringValue: name)) ?? false
    }

    /// Returns the value of a field. Returns `nil` and records a problem if it is missing or invalid.
    ///
    /// - Parameters:
    ///   - name: The field.
    ///   - expectation: The rule for the field, such as `a whole number from 1 to 10`.
    ///   - parse: A closure that converts the JSON value, or returns `nil` if it is invalid.
    mutating func read<JSONValue: Decodable, Value>(
        _ name: String,
        _ expectation: String,
        _ parse: (JSONValue) -> Value?
    ) -> Value? {
        guard let container else { return nil }
        let field = path.appending(name)
        guard has(name) else {
            problems.append(field.problem("is missing; it has to be \(expectation)"))
            return nil
        }
        if let json = try? container.decode(JSONValue.self, forKey: FieldName(stringValue: name)),
            let value = parse(json)
        {
            return value
        }
        problems.append(field.problem("has to be \(expectation)"))
        return nil
    }

    /// Returns the elements of an array. Returns `nil` and records a problem if it is no array or has an invalid number
    /// of elements.
    ///
    /// - Parameters:
    ///   - name: The field.
    ///   - counts: The allowed numbers of elements.
    ///   - expectation: The rule for the field.
    mutating func readArray<Element: Decodable>(
        _ name: String,
        of type: Element.Type,
        counts: ClosedRange<Int>,
        _ expectation: String
    ) -> [Element]? {
        guard let container else { return nil }
        let field = path.appending(name)
        guard has(name) else {
            problems.append(field.problem("is missing; it has to be \(expectation)"))
            return nil
        }
        guard var array = try? container.nestedUnkeyedContainer(forKey: FieldName(stringValue: name)),
            let count = array.count
        else {
            problems.append(field.problem("has to be \(expectation)"))
            return nil
        }
        guard counts.contains(count) else {
            problems.append(field.problem("has \(count) elements; it has to be \(expectation)"))
            return nil
        }
        var elements: [Element] = []
        while !array.isAtEnd {
            guard let element = try? array.decode(Element.self) else {
                problems.append(FieldPath(array.codingPath).appending(array.currentIndex).problem("cannot be read"))
                return nil
            }
            elements.append(element)
        }
        return elements
    }

    /// Adds the problems of a nested field.
    mutating func note(_ others: some Sequence<HTTPProblem.FieldError>) {
        problems += others
    }
}

/// The name of any field.
private struct FieldName: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) {
        self.stringValue = stringValue
    }

    init?(intValue: Int) { nil }
}

/// The path of a field in a document: `items[0].quantity`.
private struct FieldPath {
    private var text = ""

    init(_ path: [any CodingKey]) {
        for key in path {
            self = key.intValue.map(appending) ?? appending(key.stringValue)
        }
    }

    func appending(_ name: String) -> FieldPath {
        var path = self
        path.text += text.isEmpty ? name : ".\(name)"
        return path
    }

    func appending(_ index: Int) -> FieldPath {
        var path = self
        path.text += "[\(index)]"
        return path
    }

    func problem(_ problem: String) -> HTTPProblem.FieldError {
        HTTPProblem.FieldError(field: text, problem: problem)
    }
}
