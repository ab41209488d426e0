import FoundationEssentials
public import Hummingbird
import NIOCore
import NIOHTTP1

extension Request {
    /// Decodes a JSON body.
    ///
    /// ```swift
    /// let order = try await request.decodeJSON(NewOrder.self, context: context, limit: 16_384)
    /// ```
    ///
    /// - Parameters:
    ///   - type: The type of the body.
    ///   - context: The context of the request, with the budget for bodies.
    ///   - limit: The maximum number of bytes. Defaults to 1 MiB.
    ///   - timeout: The maximum duration of receiving the body. Defaults to 20 seconds.
    /// - Throws: ``HTTPProblem``: 415 if the content type is not JSON, 413 if the body is too large, 408 if it does not
    ///   arrive in time, 503 if too many bodies are being received, or 400 if it is not valid JSON for the type, with
    ///   the path of the invalid field.
    public func decodeJSON<T: Decodable>(
        _ type: T.Type,
        context: ServiceRequestContext,
        limit: Int = 1 << 20,
        timeout: Duration = .seconds(20)
    ) async throws -> T {
        try requireJSON()
        let body = try await receivedBody(limit: limit, timeout: timeout, budget: context.bodies)
        defer { context.bodies.release(body.readableBytes) }
        guard body.readableBytes > 0 else {
            throw HTTPProblem(.badRequest, "The body is not valid", detail: "The body is empty; send a JSON document.")
        }
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        do {
            return try decoder.decode(type, from: Data(body.readableBytesView))
        } catch let error as DecodingError {
            throw HTTPProblem(decoding: error)
        }
    }

    private func requireJSON() throws {
        let contentType = headers[.contentType] ?? ""
        let parts = contentType.lowercased().split(separator: ";").map { $0.trimmingPrefix { $0 == " " } }
        let media = parts.first.map { $0.prefix { $0 != " " } } ?? ""
        let isJSON = media == "application/json" || (media.hasPrefix("application/") && media.hasSuffix("+json"))
        let charset = parts.dropFirst().first { $0.hasPrefix("charset=") }?.dropFirst("charset=".count)
        guard isJSON, charset.map({ ["utf-8", "\"utf-8\"", "utf8"].contains($0) }) ?? true else {
            throw HTTPProblem(
                .unsupportedMediaType,
                "The body's type is not supported",
                detail: "Send JSON in UTF-8 with the header Content-Type: application/json."
            )
        }
        guard ["", "identity"].contains(headers[.contentEncoding]?.lowercased() ?? "") else {
            throw HTTPProblem(
                .unsupportedMediaType,
                "The body's encoding is not supported",
                detail: "Send the body without a Content-Encoding."
            )
        }
    }

    /// Receives the body, whose bytes are taken from the budget.
    private func receivedBody(limit: Int, timeout: Duration, budget: BodyBudget) async throws -> ByteBuffer {
        if let length = headers[.contentLength].flatMap({ Int($0) }), length > limit {
            throw HTTPProblem(bodyLimit: limit)
        }
        let body = body
        do {
            return try await withThrowingTaskGroup(of: ByteBuffer?.self) { group in
                group.addTask { try await body.collect(limit: limit, budget: budget) }
                group.addTask {
                    try await Task.sleep(for: timeout)
                    return nil
                }
                defer { group.cancelAll() }
                if let received = try await group.next(), let received { return received }
                // The rest is not read, which releases what was received.
                group.cancelAll()
                if let late = try? await group.next(), let late { budget.release(late.readableBytes) }
                throw HTTPProblem(
                    .requestTimeout,
                    "The body did not arrive in time",
                    detail: "The body has to arrive within \(timeout.components.seconds) seconds.",
                    headers: [.connection: "close"]
                )
            }
        } catch let problem as HTTPProblem {
            throw problem
        } catch let error as HTTPParserError {
            // Hummingbird answers it and closes the connection.
            throw error
        } catch let error as CancellationError {
            throw error
        } catch {
            throw HTTPProblem(.badRequest, "The body could not be read", detail: "The connection broke off.")
        }
    }
}

extension RequestBody {
    /// Collects the body.
    ///
    /// - Throws: ``HTTPProblem`` if it has more than `limit` bytes, or if the budget is exhausted. The budget then
    ///   contains nothing of it.
    fileprivate func collect(limit: Int, budget: BodyBudget) async throws -> ByteBuffer {
        var collected = ByteBuffer()
        do {
            for try await part in self {
                guard part.readableBytes <= limit - collected.readableBytes else { throw HTTPProblem(bodyLimit: limit) }
                guard budget.take(part.readableBytes) else { throw HTTPProblem.tooManyBodies }
                collected.writeImmutableBuffer(part)
            }
            try Task.checkCancellation()
            return collected
        } catch {
            budget.release(collected.readableBytes)
            throw error
        }
    }
}

extension HTTPProblem {
    /// Creates the problem for a body with more than `bodyLimit` bytes.
    fileprivate init(bodyLimit: Int) {
        self.init(
            .contentTooLarge,
            "The body is too large",
            detail: "The body may have \(bodyLimit) bytes at most."
        )
    }

    /// The problem for a body that the budget has no room for.
    fileprivate static let tooManyBodies = HTTPProblem(
        .serviceUnavailable,
        "The service cannot do this at the moment",
        detail: "It is receiving too many bodies. Try again.",
        headers: [.retryAfter: "1"]
    )
}

extension HTTPProblem {
    /// Creates the problem for a body that could not be decoded, with the path of the field.
    init(decoding error: DecodingError) {
        let path: [any CodingKey]
        let problem: String
        switch error {
        case .keyNotFound(let key, let context):
            path = context.codingPath + [key]
            problem = "is missing"
        case .valueNotFound(_, let context):
            path = context.codingPath
            problem = "is null, and has to have a value"
        case .typeMismatch(let type, let context):
            path = context.codingPath
            problem = "has the wrong type; it has to be \(JSONTypeName.of(type))"
        case .dataCorrupted(let context):
            path = context.codingPath
            problem = context.debugDescription
        @unknown default:
            path = []
            problem = "cannot be decoded"
        }
        let field = path.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")
        self.init(
            .badRequest,
            "The body is not valid",
            detail: field.isEmpty ? "The body \(problem)" : "The field \(field) \(problem)",
            fields: field.isEmpty ? [] : [FieldError(field: field, problem: problem)]
        )
    }
}

/// The JSON name of a Swift type.
private enum JSONTypeName {
    static func of(_ type: any Any.Type) -> String {
        switch type {
        case is String.Type: "a string"
        case is Bool.Type: "true or false"
        case is any BinaryInteger.Type: "a whole number"
        case is any BinaryFloatingPoint.Type: "a number"
        case is [Any].Type: "an array"
        case is [String: Any].Type: "an object"
        default: "another one"
        }
    }
}
