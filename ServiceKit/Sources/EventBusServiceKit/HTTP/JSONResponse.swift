import FoundationEssentials
public import Hummingbird

/// A response whose body is a value as JSON.
///
/// ```swift
/// router.post("orders") { request, context in
///     let order = try await request.decodeJSON(NewOrder.self, context: context)
///     return JSONResponse(order, status: .accepted)
/// }
/// ```
public struct JSONResponse<Body: Encodable & Sendable>: ResponseGenerator, Sendable {
    /// The value of the body.
    public var body: Body
    /// The status of the response.
    public var status: HTTPResponse.Status
    /// Additional headers of the response.
    public var headers: HTTPFields

    /// Creates a response with `body`.
    ///
    /// - Parameters:
    ///   - body: The value of the body. Dates are written in RFC 3339 format, and keys are sorted.
    ///   - status: The status of the response.
    ///   - headers: Additional headers, such as `Location`.
    public init(_ body: Body, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]) {
        self.body = body
        self.status = status
        self.headers = headers
    }

    /// The response.
    public func response(from request: Request, context: some RequestContext) throws -> Response {
        var headers = headers
        headers[.contentType] = "application/json"
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: try JSONBody.encode(body)))
    }
}

/// The JSON settings of the services.
enum JSONBody {
    static func encode(_ value: some Encodable) throws -> ByteBuffer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        let json = try encoder.encode(value)
        // Most bodies are plain ASCII.
        return ByteBuffer(bytes: json.allSatisfy { $0 < 0x7F } ? json : escaped(json))
    }

    /// Returns JSON with escapes for the characters that a terminal interprets, because texts of customers are shown there.
    /// JSON requires them only below U+0020.
    private static func escaped(_ json: Data) -> Data {
        var text = ""
        for scalar in String(decoding: json, as: UTF8.self).unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator:
                // It is inside a text, because everything else in JSON is ASCII.
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16)
                    text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            default: text.unicodeScalars.append(scalar)
            }
        }
        return Data(text.utf8)
    }
}
