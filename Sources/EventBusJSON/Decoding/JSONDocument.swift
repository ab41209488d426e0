#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// A JSON text with its index. The decoder and all its containers share it.
///
/// Like every decoder, it must not be used by several tasks at once.
final class JSONDocument {
    /// The text. It is valid during the decoding call, and afterwards only if `adoptText` was called.
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
    /// The coding paths of decoders for absent values, which have no token.
    var absentPaths: [[any CodingKey]] = []
    /// The containers and keys of the values for which a nested container or a superclass decoder was created.
    private var places: [Int: (container: Int, key: any CodingKey)] = [:]
    private var indexes: [UInt64: JSONKeyIndex] = [:]
    private var recentIndex: (identity: UInt64, index: JSONKeyIndex)?

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

    /// Replaces the text with a copy that lives as long as the document.
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

    /// Returns the index of the token after the value at `index` and all its descendants.
    @inline(__always)
    func after(_ index: Int) -> Int {
        tokens[index].isContainer ? Int(tokens[index].link) : index &+ 1
    }

    func string(of token: JSONToken) throws(JSONSyntaxError) -> String {
        try JSONStringReader.string(bytes(of: token), flags: token.flags, at: Int(token.offset))
    }

    /// Builds the index of an object's members, unless it exists already.
    @inline(never)
    func makeKeyIndex(of object: Int, convertingKeys: Bool) throws(JSONSyntaxError) {
        let identity = Self.identity(object, convertingKeys)
        guard indexes[identity] == nil else { return }
        indexes[identity] = try JSONKeyIndex(of: object, in: self, convertingKeys: convertingKeys)
    }

    /// Returns the index of an object's members, if it was built.
    @inline(never)
    func keyIndex(of object: Int, convertingKeys: Bool) -> JSONKeyIndex? {
        let identity = Self.identity(object, convertingKeys)
        if let recentIndex, recentIndex.identity == identity { return recentIndex.index }
        guard let index = indexes[identity] else { return nil }
        recentIndex = (identity, index)
        return index
    }

    private static func identity(_ object: Int, _ convertingKeys: Bool) -> UInt64 {
        UInt64(object) << 1 | (convertingKeys ? 1 : 0)
    }
}

// MARK: - Coding paths

extension JSONDocument {
    /// Returns the coding path of the value at `target`.
    ///
    /// Decoding without an error needs no path, so none is maintained. The path is assembled from the links of the
    /// values that are being decoded and from the keys of nested containers. The rest is found by walking down the
    /// index.
    func codingPath(to target: Int) -> [any CodingKey] {
        var keys: [any CodingKey] = []
        var target = target
        var link = path
        while target != 0 {
            // The links are on the stacks of calls that have not returned, and an outer value has a smaller token.
            while let present = link, present.pointee.token > target { link = present.pointee.outer }
            if let present = link, present.pointee.token == target {
                keys.append(present.pointee.codingKey)
                target = present.pointee.container
            } else if let place = places[target] {
                keys.append(place.key)
                target = place.container
            } else {
                return walk(to: target) + keys.reversed()
            }
        }
        return keys.reversed()
    }

    private func walk(to target: Int) -> [any CodingKey] {
        var result: [any CodingKey] = []
        var container = 0
        while container != target, tokens[container].isContainer {
            let end = Int(tokens[container].link)
            let isObject = tokens[container].kind == .object
            var child = container + 1
            var index = 0
            while child < end {
                let value = isObject ? child + 1 : child
                if target < after(value) { break }
                child = after(value)
                index += 1
            }
            guard child < end else { break }
            if isObject {
                result.append(JSONPathKey(stringValue: pathName(tokens[child], before: result)))
                child += 1
            } else {
                result.append(JSONPathKey(index: index))
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

    /// Decodes with `body` while the chain of keys ends with `key`, the key of `token` in the object at `container`.
    @inline(__always)
    func withPath<Key: CodingKey, Result>(
        _ key: Key,
        to token: Int,
        in container: Int,
        _ body: () throws -> Result
    ) rethrows -> Result {
        try withUnsafePointer(to: key) { key in
            let link = JSONPathLink(
                key: (UnsafeRawPointer(key), Key.self),
                token: token,
                container: container,
                outer: path
            )
            return try withPath(link, body)
        }
    }

    /// Decodes with `body` while the chain of keys ends with `link`.
    @inline(__always)
    func withPath<Result>(_ link: JSONPathLink, _ body: () throws -> Result) rethrows -> Result {
        try withUnsafePointer(to: link) { link in
            path = link
            defer { path = link.pointee.outer }
            return try body()
        }
    }

    /// Remembers the key of a nested container or a superclass decoder, which is used after this call.
    @inline(never)
    func setPlace(of token: Int, in container: Int, key: any CodingKey) {
        places[token] = (container, key)
    }
}
