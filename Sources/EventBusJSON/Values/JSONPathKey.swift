/// A key in a coding path for which the type being coded has no key of its own.
struct JSONPathKey: CodingKey {
    var stringValue: String
    var intValue: Int?

    init(stringValue: String) {
        self.stringValue = stringValue
    }

    init(intValue: Int) {
        stringValue = String(intValue)
        self.intValue = intValue
    }

    /// Creates the key of the element at `index` of an array.
    init(index: Int) {
        stringValue = "Index \(index)"
        intValue = index
    }

    static let `super` = JSONPathKey(stringValue: "super")
}

/// A link in the chain of keys that are being coded, stored on the stack of the call that codes the value.
///
/// `key` points to a value of type `keyType`. The link and the value live until that call returns, which removes the
/// link from the chain.
struct JSONPathLink {
    /// The key, or `nil` for an element of an array.
    var key: (value: UnsafeRawPointer, type: any CodingKey.Type)?
    /// The position of an element in its array.
    var index = 0
    /// In decoding, the tokens of the value and of its container.
    var token = 0
    var container = 0
    var outer: UnsafePointer<JSONPathLink>?

    var codingKey: any CodingKey {
        guard let key else { return JSONPathKey(index: index) }
        return Self.load(key.type, from: key.value)
    }

    private static func load<Key: CodingKey>(_ type: Key.Type, from value: UnsafeRawPointer) -> any CodingKey {
        value.load(as: type)
    }
}

/// The type of the keys that `Dictionary` uses, which the standard library does not export.
///
/// `Dictionary` creates its keys at run time, so they are data. No strategy converts them, and they are sorted.
struct JSONDictionaryKeys {
    static let type: ObjectIdentifier = {
        let probe = KeyTypeProbe()
        // Encoding an empty dictionary cannot throw because the container is never written to.
        try? [String: Int]().encode(to: probe)
        return probe.type
    }()

    private final class KeyTypeProbe: Encoder {
        var type = ObjectIdentifier(Never.self)
        /// A state without a frame 1, so its containers refuse to write.
        private let unused = JSONEncodingState(options: EventJSONEncoder(), buffer: nil)
        var codingPath: [any CodingKey] { [] }
        var userInfo: [CodingUserInfoKey: Any] { [:] }

        func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
            self.type = ObjectIdentifier(type)
            return KeyedEncodingContainer(JSONKeyedEncoding(state: unused, frame: 1, isDictionary: false))
        }

        func unkeyedContainer() -> any UnkeyedEncodingContainer { JSONUnkeyedEncoding(state: unused, frame: 1) }
        func singleValueContainer() -> any SingleValueEncodingContainer { JSONValueEncoding(state: unused, frame: 1) }
    }
}
