internal import FoundationEssentials

/// A JSON text with its index, which the decoder and all its containers share.
///
/// Like every decoder it serves one task at a time.
final class JSONDocument {
    /// The text. Valid while the call that decodes it runs, and from then on because of `adoptText`.
    private(set) var text: UnsafeBufferPointer<UInt8>
    private var ownsText = false
    /// The index. It lives as long as the document and is trivial.
    let tokens: UnsafeMutablePointer<JSONToken>
    let tokenCount: Int
    let options: EventJSONDecoder
    let convertsKeys: Bool
    let knownTypes = JSONKnownTypes.shared
    let dictionaryKeys = JSONDictionaryKeys.type
    /// The innermost value that is being decoded.
    var path: UnsafePointer<JSONPathLink>?
    /// The paths of decoders for absent values, which have no token.
    var absentPaths: [[any CodingKey]] = []
    private var indexes: [UInt64: JSONKeyIndex] = [:]

    init(_ text: UnsafeBufferPointer<UInt8>, options: EventJSONDecoder) throws(JSONSyntaxError) {
        (tokens, tokenCount) = try JSONScanner.scan(text)
        self.text = text
        self.options = options
        convertsKeys = if case .useDefaultKeys = options.keyDecodingStrategy { false } else { true }
    }

    deinit {
        tokens.deallocate()
        if ownsText { text.deallocate() }
    }

    /// Replaces the text by a copy that lives as long as the document.
    func adoptText() {
        let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.count)
        _ = copy.initialize(fromContentsOf: text)
        text = UnsafeBufferPointer(copy)
        ownsText = true
    }

    /// The token that stands for an absent value.
    var absentToken: Int { tokenCount - 1 }

    @inline(__always)
    func bytes(of token: JSONToken) -> UnsafeBufferPointer<UInt8> {
        // Offset and length of strings and numbers were taken from this text.
        UnsafeBufferPointer(start: text.baseAddress.unsafelyUnwrapped + Int(token.offset), count: Int(token.length))
    }

    /// The index of the token behind the value at `index` and all its descendants.
    @inline(__always)
    func after(_ index: Int) -> Int {
        tokens[index].isContainer ? Int(tokens[index].link) : index &+ 1
    }

    func string(of token: JSONToken) throws(JSONSyntaxError) -> String {
        try JSONStringReader.string(bytes(of: token), flags: token.flags, at: Int(token.offset))
    }

    func keyIndex(of object: Int, convertingKeys: Bool) throws(JSONSyntaxError) -> JSONKeyIndex {
        let identity = UInt64(object) << 1 | (convertingKeys ? 1 : 0)
        if let index = indexes[identity] { return index }
        let index = try JSONKeyIndex(of: object, in: self, convertingKeys: convertingKeys)
        indexes[identity] = index
        return index
    }
}

// MARK: - Coding paths

extension JSONDocument {
    /// The coding path of the value at `target`.
    ///
    /// It is found by walking down the index, because decoding without an error needs no path. Keys that a type passed are
    /// returned as such while their value is being decoded, others by their names.
    func codingPath(to target: Int) -> [any CodingKey] {
        var given: [Int: any CodingKey] = [:]
        var link = path
        // The links are on the stacks of calls that have not returned.
        while let present = link {
            if present.pointee.key != nil { given[present.pointee.position] = present.pointee.codingKey }
            link = present.pointee.outer
        }
        var result: [any CodingKey] = []
        var container = 0
        while container != target {
            let end = Int(tokens[container].link)
            let isObject = tokens[container].kind == .object
            var child = container + 1
            var position = 0
            var name: JSONToken?
            while child < end {
                if isObject {
                    name = tokens[child]
                    child += 1
                }
                let next = after(child)
                if target < next { break }
                child = next
                position += 1
            }
            // Only for a token outside of the root, which no caller has.
            guard child < end else { return result }
            if let key = given[child] {
                result.append(key)
            } else if let name {
                result.append(JSONPathKey(stringValue: pathName(name, before: result)))
            } else {
                result.append(JSONPathKey(index: position))
            }
            container = child
        }
        return result
    }

    private func pathName(_ token: JSONToken, before: [any CodingKey]) -> String {
        let name = (try? string(of: token)) ?? String(decoding: bytes(of: token), as: UTF8.self)
        return convertsKeys ? convertedKey(name, at: before) : name
    }

    func convertedKey(_ name: String, at path: @autoclosure () -> [any CodingKey]) -> String {
        switch options.keyDecodingStrategy {
        case .useDefaultKeys: name
        case .convertFromSnakeCase: JSONKeyConversion.camelCase(name)
        case .custom(let convert): convert(path() + [JSONPathKey(stringValue: name)]).stringValue
        }
    }

    /// Decodes by `body` while the chain of keys has `key` for the value at `token`.
    @inline(__always)
    func withPath<Key: CodingKey, Result>(_ key: Key, to token: Int, _ body: () throws -> Result) rethrows -> Result {
        try withUnsafePointer(to: key) { key in
            let link = JSONPathLink(key: (UnsafeRawPointer(key), Key.self), position: token, outer: path)
            return try withUnsafePointer(to: link) { link in
                path = link
                defer { path = link.pointee.outer }
                return try body()
            }
        }
    }
}
