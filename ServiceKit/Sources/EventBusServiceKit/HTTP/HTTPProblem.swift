import FoundationEssentials
public import Hummingbird

/// A problem with a request or the service, which is sent to the client as a problem document (RFC 9457).
///
/// ```swift
/// throw HTTPProblem(.notFound, "No such order", detail: "There is no order \(id).")
/// ```
public struct HTTPProblem: Error, Hashable, HTTPResponseError {
    /// A problem with one field of a request's body.
    public struct FieldError: Codable, Hashable, Sendable {
        /// The path to the field, such as `items.0.quantity`.
        public var field: String
        /// The problem, and the rule for the field.
        public var problem: String

        /// Creates a problem with a field.
        public init(field: String, problem: String) {
            self.field = field
            self.problem = problem
        }
    }

    /// The status of the response.
    public var status: HTTPResponse.Status
    /// The kind of problem, which is the same in every case.
    public var title: String
    /// The problem in this case, and its remedy.
    public var detail: String?
    /// The invalid fields.
    public var fields: [FieldError]
    /// Additional headers of the response, such as `Allow`.
    public var headers: HTTPFields

    /// Creates a problem.
    ///
    /// - Parameters:
    ///   - status: The status of the response.
    ///   - title: The kind of problem, which is the same in every case.
    ///   - detail: The problem in this case, and its remedy.
    ///   - fields: The invalid fields of the request's body.
    ///   - headers: Additional headers of the response.
    public init(
        _ status: HTTPResponse.Status,
        _ title: String,
        detail: String? = nil,
        fields: [FieldError] = [],
        headers: HTTPFields = [:]
    ) {
        self.status = status
        self.title = title
        self.detail = detail
        self.fields = fields
        self.headers = headers
    }

    /// Returns the problem document as a response.
    public func response(from request: Request, context: some RequestContext) throws -> Response {
        let document = ProblemDocument(
            title: title,
            status: status.code,
            detail: detail,
            errors: fields.isEmpty ? nil : fields
        )
        var headers = headers
        headers[.contentType] = "application/problem+json"
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: try JSONBody.encode(document)))
    }
}

/// The members of a problem document. Without a type, it is `about:blank`.
private struct ProblemDocument: Encodable {
    var title: String
    var status: Int
    var detail: String?
    var errors: [HTTPProblem.FieldError]?
}
