#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

extension JSONEncodingState {
    /// Writes a value of a known type. Returns `false` if only the type's own `encode(to:)` can write it.
    @inline(never)
    func writeKnown<Value: Encodable>(_ known: JSONKnownType, _ value: Value) throws -> Bool {
        try withUnsafePointer(to: value) { pointer in
            // `known` was found by the identity of `Value`, so each load has the type that is stored.
            let raw = UnsafeRawPointer(pointer)
            switch known {
            case .bool: core.pointee.write(raw.load(as: Bool.self))
            case .string: core.pointee.write(string: raw.load(as: String.self))
            case .double: return writeFloat(raw.load(as: Double.self))
            case .float: return writeFloat(raw.load(as: Float.self))
            case .int: core.pointee.write(integer: raw.load(as: Int.self))
            case .int8: core.pointee.write(integer: raw.load(as: Int8.self))
            case .int16: core.pointee.write(integer: raw.load(as: Int16.self))
            case .int32: core.pointee.write(integer: raw.load(as: Int32.self))
            case .int64: core.pointee.write(integer: raw.load(as: Int64.self))
            case .int128: core.pointee.write(integer: raw.load(as: Int128.self))
            case .uint: core.pointee.write(integer: raw.load(as: UInt.self))
            case .uint8: core.pointee.write(integer: raw.load(as: UInt8.self))
            case .uint16: core.pointee.write(integer: raw.load(as: UInt16.self))
            case .uint32: core.pointee.write(integer: raw.load(as: UInt32.self))
            case .uint64: core.pointee.write(integer: raw.load(as: UInt64.self))
            case .uint128: core.pointee.write(integer: raw.load(as: UInt128.self))
            case .date: return try write(raw.load(as: Date.self))
            case .data: return try write(raw.load(as: Data.self))
            case .url: core.pointee.write(string: raw.load(as: URL.self).absoluteString)
            case .decimal: try write(raw.load(as: Decimal.self))
            case .uuid: write(raw.load(as: UUID.self))
            case .bools: return writeElements(raw.load(as: [Bool].self)) { core.pointee.write($0) }
            case .strings: return writeElements(raw.load(as: [String].self)) { core.pointee.write(string: $0) }
            case .doubles: return writeFloats(raw.load(as: [Double].self))
            case .floats: return writeFloats(raw.load(as: [Float].self))
            case .ints: return writeElements(raw.load(as: [Int].self)) { core.pointee.write(integer: $0) }
            case .int8s: return writeElements(raw.load(as: [Int8].self)) { core.pointee.write(integer: $0) }
            case .int16s: return writeElements(raw.load(as: [Int16].self)) { core.pointee.write(integer: $0) }
            case .int32s: return writeElements(raw.load(as: [Int32].self)) { core.pointee.write(integer: $0) }
            case .int64s: return writeElements(raw.load(as: [Int64].self)) { core.pointee.write(integer: $0) }
            case .uints: return writeElements(raw.load(as: [UInt].self)) { core.pointee.write(integer: $0) }
            case .uint8s: return writeElements(raw.load(as: [UInt8].self)) { core.pointee.write(integer: $0) }
            case .uint16s: return writeElements(raw.load(as: [UInt16].self)) { core.pointee.write(integer: $0) }
            case .uint32s: return writeElements(raw.load(as: [UInt32].self)) { core.pointee.write(integer: $0) }
            case .uint64s: return writeElements(raw.load(as: [UInt64].self)) { core.pointee.write(integer: $0) }
            case .other: return false
            }
            return true
        }
    }

    /// Writes a floating-point number. Returns `false` if the strategy has no representation for it.
    @inline(__always)
    func writeFloat<Value: BinaryFloatingPoint>(_ value: Value) -> Bool {
        guard value.isFinite else { return writeNonConforming(value) }
        if Value.self == Float.self { core.pointee.write(Float(value)) } else { core.pointee.write(Double(value)) }
        return true
    }

    @inline(never)
    private func writeNonConforming(_ value: some BinaryFloatingPoint) -> Bool {
        guard case .convertToString(let positive, let negative, let nan) = options.nonConformingFloatEncodingStrategy
        else {
            return false
        }
        core.pointee.write(string: value.isNaN ? nan : value.sign == .minus ? negative : positive)
        return true
    }

    /// Returns the error for a floating-point number that the strategy has no representation for.
    @inline(never)
    func nonConforming<Value: BinaryFloatingPoint>(_ value: Value, path: [any CodingKey]) -> any Error {
        EncodingError.invalidValue(
            value,
            .init(codingPath: path, debugDescription: "Unable to encode \(Value.self).\(value) directly in JSON.")
        )
    }

    @inline(__always)
    private func writeElements<Element>(_ elements: [Element], _ write: (Element) -> Void) -> Bool {
        // The array's own `encode(to:)` reports the excessive depth.
        let frame = core.pointee.frame
        guard frame.depth + 1 < JSONScanner.maximumDepth else { return false }
        core.pointee.reserve(2)
        core.pointee.put(UInt8(ascii: "["))
        var isFirst = true
        for element in elements {
            if !isFirst {
                core.pointee.reserve(1)
                core.pointee.put(UInt8(ascii: ","))
            }
            isFirst = false
            write(element)
        }
        core.pointee.reserve(1)
        core.pointee.put(UInt8(ascii: "]"))
        return true
    }

    private func writeFloats<Element: BinaryFloatingPoint>(_ elements: [Element]) -> Bool {
        // The array's own `encode(to:)` reports the element without a representation.
        if case .throw = options.nonConformingFloatEncodingStrategy, elements.contains(where: { !$0.isFinite }) {
            return false
        }
        return writeElements(elements) { _ = writeFloat($0) }
    }

    // MARK: - Foundation's types

    private func write(_ date: Date) throws -> Bool {
        switch options.dateEncodingStrategy {
        case .deferredToDate:
            return false
        case .secondsSince1970:
            try writeSeconds(date.timeIntervalSince1970)
        case .millisecondsSince1970:
            try writeSeconds(date.timeIntervalSince1970 * 1000)
        case .iso8601:
            core.pointee.write(string: date.formatted(.iso8601))
        case .custom(let encode):
            _ = try writeFrame { try encode(date, $0) }
        }
        return true
    }

    private func writeSeconds(_ seconds: Double) throws {
        guard seconds.isFinite else { throw nonConforming(seconds, path: codingPath) }
        core.pointee.write(seconds)
    }

    private func write(_ data: Data) throws -> Bool {
        switch options.dataEncodingStrategy {
        case .deferredToData:
            return false
        case .base64:
            core.pointee.write(string: data.base64EncodedString())
        case .custom(let encode):
            _ = try writeFrame { try encode(data, $0) }
        }
        return true
    }

    private func write(_ decimal: Decimal) throws {
        guard decimal.isFinite else {
            throw EncodingError.invalidValue(
                decimal,
                .init(codingPath: codingPath, debugDescription: "Unable to encode Decimal.\(decimal) directly in JSON.")
            )
        }
        var text = decimal.description
        text.withUTF8 { core.pointee.write($0) }
    }

    private func write(_ uuid: UUID) {
        core.pointee.reserve(38)
        core.pointee.put(UInt8(ascii: "\""))
        withUnsafeBytes(of: uuid.uuid) { bytes in
            for (index, byte) in bytes.enumerated() {
                if index == 4 || index == 6 || index == 8 || index == 10 { core.pointee.put(UInt8(ascii: "-")) }
                core.pointee.put(Self.hexadecimal(byte >> 4))
                core.pointee.put(Self.hexadecimal(byte & 15))
            }
        }
        core.pointee.put(UInt8(ascii: "\""))
    }

    @inline(__always)
    private static func hexadecimal(_ digit: UInt8) -> UInt8 {
        digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "A") + digit - 10
    }
}
