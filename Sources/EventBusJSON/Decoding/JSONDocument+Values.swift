#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

extension JSONDocument {
    /// Returns the integer at `token`, or `nil` if there is no integer there or it does not fit.
    @inline(__always)
    func integer<Value: FixedWidthInteger>(_ token: Int, as type: Value.Type) -> Value? {
        let token = tokens[token]
        guard token.kind == .number else { return nil }
        let text = bytes(of: token)
        guard token.flags.contains(.digitsOnly), text.count <= 18 else { return slowInteger(text, as: type) }
        var at = text[0] == UInt8(ascii: "-") ? 1 : 0
        let isNegative = at == 1
        guard at < text.count, text[at] != UInt8(ascii: "0") || at &+ 1 == text.count else { return nil }
        // With at most 18 digits this cannot overflow.
        var value: Int64 = 0
        while at < text.count {
            value = value &* 10 &+ Int64(text[at] &- UInt8(ascii: "0"))
            at &+= 1
        }
        return Value(exactly: isNegative ? -value : value)
    }

    @inline(never)
    private func slowInteger<Value: FixedWidthInteger>(
        _ text: UnsafeBufferPointer<UInt8>,
        as type: Value.Type
    ) -> Value? {
        guard let number = try? JSONNumber(text, at: 0) else { return nil }
        return number.integer(of: text, as: type)
    }

    /// Returns the floating-point value at `token`, or `nil` if there is no number there that can be represented.
    @inline(__always)
    func double(_ token: Int) -> Double? {
        let token = tokens[token]
        guard token.kind == .number, let number = try? JSONNumber(bytes(of: token), at: 0) else { return nil }
        return number.fastDouble ?? slowFloatingPoint(bytes(of: token))
    }

    func float(_ token: Int) -> Float? {
        let token = tokens[token]
        guard token.kind == .number, let number = try? JSONNumber(bytes(of: token), at: 0) else { return nil }
        // Zero, and integers that a `Float` represents exactly.
        if let double = number.fastDouble, let float = Float(exactly: double), double.magnitude < 16_777_216,
            double == double.rounded()
        {
            return float
        }
        return slowFloatingPoint(bytes(of: token))
    }

    /// Returns the value nearest to the number in `text`, or `nil` if it would be infinite, or zero for a nonzero
    /// number.
    @inline(never)
    private func slowFloatingPoint<Value: BinaryFloatingPoint & LosslessStringConvertible>(
        _ text: UnsafeBufferPointer<UInt8>
    ) -> Value? {
        guard let value = Value(String(decoding: text, as: UTF8.self)), value.isFinite, value != 0 else { return nil }
        return value
    }

    /// Returns the value that the strategy for infinities and NaN assigns to the string at `token`.
    @inline(never)
    func nonConformingFloat<Value: BinaryFloatingPoint>(_ token: Int, as type: Value.Type) -> Value? {
        guard case .convertFromString(let positive, let negative, let nan) = options.nonConformingFloatDecodingStrategy,
            tokens[token].kind == .string, let string = try? string(of: tokens[token])
        else { return nil }
        switch string {
        case positive: return .infinity
        case negative: return -.infinity
        case nan: return .nan
        default: return nil
        }
    }

    @inline(__always)
    func bool(_ token: Int) -> Bool? {
        switch tokens[token].kind {
        case .true: true
        case .false: false
        default: nil
        }
    }

    @inline(__always)
    func isNull(_ token: Int) -> Bool { tokens[token].kind == .null }

    /// Returns the string at `token`, or `nil` if there is no valid string there.
    @inline(__always)
    func string(_ token: Int) -> String? {
        guard tokens[token].kind == .string else { return nil }
        return try? string(of: tokens[token])
    }

    /// Returns the elements of the array at `token`, each read by `read`, or `nil` if it is no array or an element
    /// cannot be read.
    @inline(__always)
    private func elements<Element>(_ token: Int, _ read: (Int) -> Element?) -> [Element]? {
        guard tokens[token].kind == .array else { return nil }
        var result: [Element] = []
        result.reserveCapacity(Int(tokens[token].length))
        let end = Int(tokens[token].link)
        var child = token &+ 1
        while child < end {
            guard let element = read(child) else { return nil }
            result.append(element)
            child = after(child)
        }
        return result
    }

    /// Decodes the value at `token`.
    ///
    /// - Parameter path: The coding path of the value, for errors.
    @inline(__always)
    func decode<Value: Decodable>(_ type: Value.Type, at token: Int, path: () -> [any CodingKey]) throws -> Value {
        let known = knownTypes[type]
        guard known != .other else {
            if tokens[token].kind == .array, let arrayType = type as? any JSONArray.Type {
                return try decodeArray(arrayType, as: type, at: token)
            }
            return try type.init(from: JSONValueDecoding(document: self, token: token))
        }
        return try decodeKnown(known, type, at: token, path: path)
    }

    /// Decodes the array at `token` as `Elements`, which is the same type as `Value`.
    private func decodeArray<Elements: JSONArray, Value>(
        _ arrayType: Elements.Type,
        as type: Value.Type,
        at token: Int
    ) throws -> Value {
        unsafeBitCast(try Elements.elements(of: token, in: self), to: Value.self)
    }

    @inline(never)
    private func decodeKnown<Value: Decodable>(
        _ known: JSONKnownType,
        _ type: Value.Type,
        at token: Int,
        path: () -> [any CodingKey]
    ) throws -> Value {
        // `known` was found by the identity of `Value`, so that each result is a `Value`. The results are cast one by one,
        // because an `Optional<Value>` would have its metadata looked up at run time.
        switch known {
        case .bool: if let value = bool(token) { return unsafeBitCast(value, to: Value.self) }
        case .string: if let value = string(token) { return unsafeBitCast(value, to: Value.self) }
        case .double:
            if let value = double(token) ?? nonConformingFloat(token, as: Double.self) {
                return unsafeBitCast(value, to: Value.self)
            }
        case .float:
            if let value = float(token) ?? nonConformingFloat(token, as: Float.self) {
                return unsafeBitCast(value, to: Value.self)
            }
        case .int: if let value = integer(token, as: Int.self) { return unsafeBitCast(value, to: Value.self) }
        case .int8: if let value = integer(token, as: Int8.self) { return unsafeBitCast(value, to: Value.self) }
        case .int16: if let value = integer(token, as: Int16.self) { return unsafeBitCast(value, to: Value.self) }
        case .int32: if let value = integer(token, as: Int32.self) { return unsafeBitCast(value, to: Value.self) }
        case .int64: if let value = integer(token, as: Int64.self) { return unsafeBitCast(value, to: Value.self) }
        case .int128: if let value = integer(token, as: Int128.self) { return unsafeBitCast(value, to: Value.self) }
        case .uint: if let value = integer(token, as: UInt.self) { return unsafeBitCast(value, to: Value.self) }
        case .uint8: if let value = integer(token, as: UInt8.self) { return unsafeBitCast(value, to: Value.self) }
        case .uint16: if let value = integer(token, as: UInt16.self) { return unsafeBitCast(value, to: Value.self) }
        case .uint32: if let value = integer(token, as: UInt32.self) { return unsafeBitCast(value, to: Value.self) }
        case .uint64: if let value = integer(token, as: UInt64.self) { return unsafeBitCast(value, to: Value.self) }
        case .uint128: if let value = integer(token, as: UInt128.self) { return unsafeBitCast(value, to: Value.self) }
        case .uuid: if let value = uuid(token) { return unsafeBitCast(value, to: Value.self) }
        case .date: return unsafeBitCast(try date(token, path: path), to: Value.self)
        case .data: return unsafeBitCast(try data(token, path: path), to: Value.self)
        case .url: return unsafeBitCast(try url(token, path: path), to: Value.self)
        case .decimal: return unsafeBitCast(try decimal(token, path: path), to: Value.self)
        case .bools: if let value = elements(token, { bool($0) }) { return unsafeBitCast(value, to: Value.self) }
        case .strings: if let value = elements(token, { string($0) }) { return unsafeBitCast(value, to: Value.self) }
        case .doubles: if let value = elements(token, { double($0) }) { return unsafeBitCast(value, to: Value.self) }
        case .floats: if let value = elements(token, { float($0) }) { return unsafeBitCast(value, to: Value.self) }
        case .ints:
            if let value = elements(token, { integer($0, as: Int.self) }) {
                return unsafeBitCast(value, to: Value.self)
            }
        case .int8s:
            if let value = elements(token, { integer($0, as: Int8.self) }) {
                return unsafeBitCast(value, to: Value.self)
            }
        case .int16s:
            if let value = elements(token, { integer($0, as: Int16.self) }) {
                return unsafeBitCast(value, to: Value.self)
            }
        case .int32s:
            if let value = elements(token, { integer($0, as: Int32.self) }) {
                return unsafeBitCast(value, to: Value.self)
            }
        case .int64s:
            if let value = elements(token, { integer($0, as: Int64.self) }) {
                return unsafeBitCast(value, to: Value.self)
            }
        case .uints:
            if let value = elements(token, { integer($0, as: UInt.self) }) {
                return unsafeBitCast(value, to: Value.self)
            }
        case .uint8s:
            if let value = elements(token, { integer($0, as: UInt8.self) }) {
                return unsafeBitCast(value, to: Value.self)
            }
        case .uint16s:
            if let value = elements(token, { integer($0, as: UInt16.self) }) {
                return unsafeBitCast(value, to: Value.self)
            }
        case .uint32s:
            if let value = elements(token, { integer($0, as: UInt32.self) }) {
                return unsafeBitCast(value, to: Value.self)
            }
        case .uint64s:
            if let value = elements(token, { integer($0, as: UInt64.self) }) {
                return unsafeBitCast(value, to: Value.self)
            }
        case .other: break
        }
        switch known {
        case .uuid, .bools, .strings, .doubles, .floats, .ints, .int8s, .int16s, .int32s, .int64s, .uints, .uint8s,
            .uint16s, .uint32s, .uint64s, .other:
            // The type's own `init(from:)` reports the error, or decodes the elements that only it can decode.
            return try type.init(from: JSONValueDecoding(document: self, token: token))
        default:
            throw failure(type, at: token, path: path())
        }
    }

    /// Returns the error for a value that could not be decoded as `type`.
    @inline(never)
    func failure(_ type: any Any.Type, at index: Int, path: @autoclosure () -> [any CodingKey]) -> any Error {
        let token = tokens[index]
        // As in Foundation, `null` is a value of another type for `Bool`, and no value for other types.
        if token.kind == .null, type != Bool.self {
            return DecodingError.valueNotFound(
                type,
                .init(
                    codingPath: path(),
                    debugDescription: "Cannot get value of type \(type) -- found null value instead"
                )
            )
        }
        let expectsString = type == String.self
        let expectsNumber = !expectsString && type != Bool.self
        if token.kind == .string, expectsString {
            do throws(JSONSyntaxError) { _ = try string(of: token) } catch { return error }
        }
        if token.kind == .number, expectsNumber {
            do throws(JSONSyntaxError) { _ = try JSONNumber(bytes(of: token), at: Int(token.offset)) } catch {
                return error
            }
            let number = String(decoding: bytes(of: token).prefix(100), as: UTF8.self)
            return JSONSyntaxError(.notRepresentable(number), at: Int(token.offset))
        }
        return DecodingError.typeMismatch(
            type,
            .init(
                codingPath: path(),
                debugDescription: "Expected to decode \(type) but found \(token.typeDescription) instead."
            )
        )
    }
}
