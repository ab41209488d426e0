#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// A JSON text that is being written: the whole text, or a part whose place in its parent is reserved.
///
/// The bytes of a value are written after those of the values around it, because `encode(to:)` of one value runs inside
/// that of another. A nested container or a superclass encoder can be written to at any time while `encode(to:)` runs.
/// It therefore has a text of its own, called a child, which is inserted when `encode(to:)` returns.
final class JSONEncodingState {
    /// The memory. This object allocates and frees it, so both have the same lifetime.
    let core: UnsafeMutablePointer<JSONEncodingCore>
    let options: EventJSONEncoder
    let convertsKeys: Bool
    let knownTypes = JSONKnownTypes.shared
    private weak var parent: JSONEncodingState?
    private let parentKey: (any CodingKey)?
    /// The offset in the parent's text at which this text is inserted.
    var position = 0

    init(options: EventJSONEncoder, buffer: UnsafeMutableBufferPointer<UInt8>?) {
        core = .allocate(capacity: 1)
        core.initialize(to: JSONEncodingCore(buffer: buffer))
        self.options = options
        convertsKeys = if case .useDefaultKeys = options.keyEncodingStrategy { false } else { true }
        parentKey = nil
    }

    /// Creates a child for the value of `key`, which starts at the end of the parent's text.
    private init(parent: JSONEncodingState, key: any CodingKey) {
        core = .allocate(capacity: 1)
        core.initialize(to: JSONEncodingCore(buffer: nil))
        options = parent.options
        convertsKeys = parent.convertsKeys
        self.parent = parent
        parentKey = key
        position = parent.core.pointee.count
    }

    deinit {
        core.pointee.deallocate()
        core.deinitialize(count: 1)
        core.deallocate()
    }

    /// The text. It is valid until more is written.
    var text: UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: core.pointee.bytes, count: core.pointee.count)
    }

    /// Closes all frames. Every container refuses to write afterwards, so the memory of the text is not used again.
    func end() {
        core.pointee.frame.id = JSONEncodingFrame.closed
    }

    func encodeRoot<Value: Encodable>(_ value: Value) throws {
        if try !writeValue(value, isRoot: true) {
            throw EncodingError.invalidValue(
                value,
                .init(codingPath: [], debugDescription: "Top-level \(Value.self) did not encode any values.")
            )
        }
        if let failure = core.pointee.failure { throw failure }
    }

    /// The keys of the values that are being encoded.
    var codingPath: [any CodingKey] {
        var keys: [any CodingKey] = []
        var link = core.pointee.path
        // The links are on the stacks of calls that have not returned.
        while let present = link {
            keys.append(present.pointee.codingKey)
            link = present.pointee.outer
        }
        guard let parentKey else { return keys.reversed() }
        return (parent?.codingPath ?? []) + [parentKey] + keys.reversed()
    }

    // MARK: - Frames

    /// Writes `value` at the end of the text and returns whether it encoded anything. A nested value that encodes
    /// nothing becomes an empty object.
    @inline(__always)
    @discardableResult
    func writeValue<Value: Encodable>(_ value: Value, isRoot: Bool = false) throws -> Bool {
        let known = knownTypes[Value.self]
        if known != .other, try writeKnown(known, value) { return true }
        return try writeFrame(type: Value.self, isRoot: isRoot) { try value.encode(to: $0) }
    }

    /// Writes the output of `body` as one value at the end of the text.
    @inline(__always)
    func writeFrame(
        type: (any Any.Type)? = nil,
        isRoot: Bool = false,
        _ body: (JSONValueEncoding) throws -> Void
    ) throws -> Bool {
        let outer = core.pointee.frame
        let isWithin = outer.kind == .array || outer.kind == .object
        let depth = outer.depth &+ (isWithin ? 1 : 0)
        guard depth <= JSONScanner.maximumDepth else { throw tooDeep() }
        core.pointee.lastFrame &+= 1
        let start = core.pointee.count
        core.pointee.frame = JSONEncodingFrame(
            id: core.pointee.lastFrame,
            depth: depth,
            start: start,
            firstMember: core.pointee.memberCount,
            firstChild: core.pointee.children.count,
            type: type
        )
        do {
            try body(JSONValueEncoding(state: self, frame: core.pointee.lastFrame))
        } catch {
            core.pointee.memberCount = core.pointee.frame.firstMember
            core.pointee.children.removeSubrange(core.pointee.frame.firstChild...)
            core.pointee.count = start
            core.pointee.frame = outer
            throw error
        }
        let isEmpty = core.pointee.frame.kind == .empty
        if isEmpty {
            if !isRoot { core.pointee.write("{}") }
        } else {
            finishFrame()
        }
        core.pointee.frame = outer
        return !isEmpty
    }

    /// Appends the bracket of the current frame's container, after inserting its children and sorting its members.
    @inline(__always)
    func finishFrame() {
        let frame = core.pointee.frame
        if frame.firstChild < core.pointee.children.count { placeChildren() }
        if frame.isSorted || frame.hasReplaced || frame.unit > 0 { arrangeMembers() }
        core.pointee.memberCount = frame.firstMember
        if frame.hasTable { core.pointee.tables[frame.id] = nil }
        switch frame.kind {
        case .object:
            core.pointee.reserve(1)
            core.pointee.put(UInt8(ascii: "}"))
        case .array:
            core.pointee.reserve(1)
            core.pointee.put(UInt8(ascii: "]"))
        case .single, .empty:
            break
        }
    }

    // MARK: - Children

    /// Adds a child for the value of `key` at the end of the text, and opens its container.
    func addChild(_ key: any CodingKey, kind: JSONEncodingFrame.Kind) -> JSONEncodingState {
        let child = JSONEncodingState(parent: self, key: key)
        core.pointee.children.append(child)
        child.core.pointee.lastFrame = 1
        child.core.pointee.frame = JSONEncodingFrame(
            id: 1,
            depth: core.pointee.frame.depth + 1,
            start: 0,
            firstMember: 0,
            firstChild: 0
        )
        if kind != .empty { _ = child.open(kind, in: 1) }
        return child
    }

    /// Completes the text of a child. Its containers refuse to write afterwards.
    private func finishChild() {
        if core.pointee.frame.kind == .empty {
            core.pointee.write("{}")
        } else {
            finishFrame()
        }
        core.pointee.frame.id = JSONEncodingFrame.closed
    }

    /// Inserts the texts of the current frame's children.
    private func placeChildren() {
        let frame = core.pointee.frame
        let children = core.pointee.children[frame.firstChild...]
        var total = 0
        for child in children {
            child.finishChild()
            if core.pointee.failure == nil { core.pointee.failure = child.core.pointee.failure }
            total += child.text.count
        }
        // The members after a child move with it. Both are in the order of the text.
        var shift = 0
        var next = children.startIndex
        for index in frame.firstMember..<core.pointee.memberCount {
            while next < children.endIndex, children[next].position < core.pointee.members[index].start {
                shift += children[next].text.count
                next += 1
            }
            core.pointee.members[index].start += shift
        }
        core.pointee.reserve(total)
        let bytes = core.pointee.bytes
        var end = core.pointee.count
        shift = total
        // Iterates from the end, so that nothing is overwritten before it is moved. There is room for `total` more
        // bytes.
        for child in children.reversed() {
            (bytes + (child.position + shift)).update(from: bytes + child.position, count: end - child.position)
            shift -= child.text.count
            if let source = child.text.baseAddress {
                (bytes + (child.position + shift)).update(from: source, count: child.text.count)
            }
            end = child.position
        }
        core.pointee.count += total
        core.pointee.children.removeSubrange(frame.firstChild...)
    }

    // MARK: - Errors

    @inline(never)
    func tooDeep() -> any Error {
        EncodingError.invalidValue(
            core.pointee.frame.type.map { "\($0)" } ?? "a container",
            .init(
                codingPath: codingPath,
                debugDescription: "Arrays and objects are nested more than \(JSONScanner.maximumDepth) deep."
            )
        )
    }

    /// Returns the error for a container that may no longer write, or not in this way.
    @inline(never)
    func misuse(_ description: String) -> any Error {
        EncodingError.invalidValue(
            core.pointee.frame.type.map { "\($0)" } ?? "a container",
            .init(codingPath: codingPath, debugDescription: description)
        )
    }
}
