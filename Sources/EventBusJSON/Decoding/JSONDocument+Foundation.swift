#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

extension JSONDocument {
    func uuid(_ index: Int) -> UUID? {
        let token = tokens[index]
        guard token.kind == .string, token.flags == .simple, token.length == 36 else { return nil }
        let text = bytes(of: token)
        var high: UInt64 = 0
        var low: UInt64 = 0
        var digits = 0
        for at in 0..<36 {
            let byte = text[at]
            if at == 8 || at == 13 || at == 18 || at == 23 {
                guard byte == UInt8(ascii: "-") else { return nil }
                continue
            }
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: return nil
            }
            if digits < 16 { high = high << 4 | UInt64(digit) } else { low = low << 4 | UInt64(digit) }
            digits += 1
        }
        // Both are 16 bytes, in the order of the text.
        return UUID(uuid: unsafeBitCast((high.bigEndian, low.bigEndian), to: uuid_t.self))
    }

    func date(_ token: Int, path: () -> [any CodingKey]) throws -> Date {
        guard !isNull(token) else { throw failure(Date.self, at: token, path: path()) }
        switch options.dateDecodingStrategy {
        case .deferredToDate:
            return try Date(from: JSONValueDecoding(document: self, token: token))
        case .secondsSince1970:
            return Date(timeIntervalSince1970: try seconds(token, path: path))
        case .millisecondsSince1970:
            return Date(timeIntervalSince1970: try seconds(token, path: path) / 1000)
        case .iso8601:
            guard let text = string(token) else { throw failure(String.self, at: token, path: path()) }
            guard let date = try? Date.ISO8601FormatStyle().parse(text) else {
                throw DecodingError.dataCorrupted(
                    .init(codingPath: path(), debugDescription: "Expected date string to be ISO8601-formatted.")
                )
            }
            return date
        case .custom(let decode):
            return try decode(JSONValueDecoding(document: self, token: token))
        }
    }

    private func seconds(_ token: Int, path: () -> [any CodingKey]) throws -> Double {
        guard let value = double(token) ?? nonConformingFloat(token, as: Double.self) else {
            throw failure(Double.self, at: token, path: path())
        }
        return value
    }

    func data(_ token: Int, path: () -> [any CodingKey]) throws -> Data {
        guard !isNull(token) else { throw failure(Data.self, at: token, path: path()) }
        switch options.dataDecodingStrategy {
        case .deferredToData:
            return try Data(from: JSONValueDecoding(document: self, token: token))
        case .base64:
            guard let text = string(token) else { throw failure(String.self, at: token, path: path()) }
            guard let data = Data(base64Encoded: text) else {
                throw DecodingError.dataCorrupted(
                    .init(codingPath: path(), debugDescription: "Encountered Data is not valid Base64.")
                )
            }
            return data
        case .custom(let decode):
            return try decode(JSONValueDecoding(document: self, token: token))
        }
    }

    func url(_ token: Int, path: () -> [any CodingKey]) throws -> URL {
        guard !isNull(token) else { throw failure(URL.self, at: token, path: path()) }
        guard let text = string(token) else { throw failure(String.self, at: token, path: path()) }
        guard let url = URL(string: text) else {
            throw DecodingError.dataCorrupted(.init(codingPath: path(), debugDescription: "Invalid URL string."))
        }
        return url
    }

    func decimal(_ index: Int, path: () -> [any CodingKey]) throws -> Decimal {
        let token = tokens[index]
        guard token.kind == .number, (try? JSONNumber(bytes(of: token), at: 0)) != nil,
            let decimal = Decimal(string: String(decoding: bytes(of: token), as: UTF8.self))
        else { throw failure(Decimal.self, at: index, path: path()) }
        return decimal
    }
}
