import FoundationEssentials
public import Hummingbird

/// A response whose body is a value as JSON.
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
        return ByteBuffer(bytes: try encoder.encode(value))
    }
}
