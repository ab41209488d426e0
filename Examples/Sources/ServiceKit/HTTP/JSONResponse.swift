import FoundationEssentials
public import Hummingbird

/// A response whose body is a value as JSON.
public struct JSONResponse<Body: Encodable & Sendable>: ResponseGenerator, Sendable {
    /// What to tell.
    public var body: Body
    /// The status of the response.
    public var status: HTTPResponse.Status
    /// Further headers of the response.
    public var headers: HTTPFields

    /// A response that tells `body`.
    ///
    /// - Parameters:
    ///   - body: What to tell. Dates are written as RFC 3339, keys in the order of their names.
    ///   - status: The status of the response.
    ///   - headers: Further headers, such as `Location`.
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

/// How the services write JSON.
enum JSONBody {
    static func encode(_ value: some Encodable) throws -> ByteBuffer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        return ByteBuffer(bytes: try encoder.encode(value))
    }
}
