import FoundationEssentials
import Hummingbird
import ServiceKit

/// The HTTP interface of the notification service, for looking; `NotificationAPI` describes it to clients.
struct NotificationRoutes: Sendable {
    private let log: SQLiteNotificationLog

    /// Routes to `log`.
    init(log: SQLiteNotificationLog) {
        self.log = log
    }

    /// Adds the routes.
    func add(to router: Router<ServiceRequestContext>) {
        router.get("/notifications") { request, _ in try await list(request) }
        router.get("/openapi.json") { _, _ in NotificationAPI() }
    }

    private func list(_ request: Request) async throws -> JSONResponse<NotificationPage> {
        let query = request.uri.queryParameters
        var problems: [HTTPProblem.FieldError] = []
        let limit = query["limit"].map { Int($0) } ?? NotificationPage.defaultLimit
        if limit.map(NotificationPage.limits.contains) != true {
            let bounds = NotificationPage.limits
            problems.append(
                .init(
                    field: "limit",
                    problem: "has to be a whole number from \(bounds.lowerBound) to \(bounds.upperBound)"
                )
            )
        }
        let order = query["order"].map { String($0) }
        if order?.isEmpty == true { problems.append(.init(field: "order", problem: "is empty; give an order's id")) }
        guard problems.isEmpty, let limit else {
            throw HTTPProblem(.badRequest, "The query is not valid", fields: problems)
        }
        let records = try await log.latest(about: order, limit: limit)
        return JSONResponse(NotificationPage(notifications: records.map(NotificationPage.Entry.init)))
    }
}
