import FoundationEssentials
public import Hummingbird

/// What is wrong with a request, or with the service, as the client is told: a problem document of RFC 9457.
///
/// ```swift
/// throw HTTPProblem(.notFound, "No such order", detail: "There is no order \(id).")
/// ```
public struct HTTPProblem: Error, Hashable, HTTPResponseError {
    /// What is wrong with one field of a request's body.
    public struct FieldError: Codable, Hashable, Sendable {
        /// The path to the field, such as `items.0.quantity`.
        public var field: String
        /// What is wrong with it, and what it should be.
        public var problem: String

        /// A field and what is wrong with it.
        public init(field: String, problem: String) {
            self.field = field
            self.problem = problem
        }
    }

    /// The status of the response.
    public var status: HTTPResponse.Status
    /// What kind of problem it is, the same in every case.
    public var title: String
    /// What was wrong in this case, and what to do about it.
    public var detail: String?
    /// The fields that are wrong.
    public var fields: [FieldError]
    /// Further headers of the response, such as `Allow`.
    public var headers: HTTPFields

    /// A problem.
    ///
    /// - Parameters:
    ///   - status: The status of the response.
    ///   - title: What kind of problem it is, the same in every case.
    ///   - detail: What was wrong in this case, and what to do about it.
    ///   - fields: The fields of the request's body that are wrong.
    ///   - headers: Further headers of the response.
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

    /// The response that tells the client.
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

/// The members of a problem document. Its type is `about:blank`, which is what leaving it out means.
private struct ProblemDocument: Encodable {
    var title: String
    var status: Int
    var detail: String?
    var errors: [HTTPProblem.FieldError]?
}
