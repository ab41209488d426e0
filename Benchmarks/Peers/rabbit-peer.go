// The typed work of RabbitThroughput in Go: amqp091-go and encoding/json, as Debian packages them.
//
//	rabbit-peer [--events N] [--queue-type quorum|classic] [--name NAME]
//
// Publishes N persistent orders of 271 bytes to a topic exchange that leads to one durable queue, mandatory and with
// publisher confirms, 1,000 in flight; then consumes them with a prefetch of 256, decodes each, and acknowledges it. The
// broker is that of EVENTBUS_TEST_RABBITMQ_URL. Prints one line for each half.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	window   = 1000
	prefetch = 256
	topic    = "bench.filler"
)

type line struct {
	SKU      string  `json:"sku"`
	Quantity int     `json:"quantity"`
	Price    float64 `json:"price"`
}

type order struct {
	ID       string  `json:"id"`
	Customer string  `json:"customer"`
	PlacedAt string  `json:"placedAt"`
	Total    float64 `json:"total"`
	Lines    []line  `json:"lines"`
}

func newOrder(number int) order {
	return order{
		ID:       fmt.Sprintf("01936f5e-7a2b-7c3d-8e4f-%012d", number),
		Customer: "customer-47",
		PlacedAt: "2026-01-31T12:00:00.250Z",
		Total:    149.97,
		Lines:    []line{{"SKU-1000", 1, 19.99}, {"SKU-1001", 2, 20.25}, {"SKU-1002", 3, 20.01}},
	}
}

func check(err error, what string) {
	if err != nil {
		log.Fatalf("rabbit-peer: %s: %v", what, err)
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage), "getrusage")
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func report(half string, events int, start time.Time, cpu float64) {
	seconds := time.Since(start).Seconds()
	fmt.Printf("%s events=%d seconds=%.3f rate=%.0f cpu_us=%.2f\n", half, events, seconds,
		float64(events)/seconds, (cpuSeconds()-cpu)*1e6/float64(events))
}

func declare(channel *amqp.Channel, name, queueType, queue string) {
	check(channel.ExchangeDeclare("eventbus.dead.v1", "direct", true, false, false, false, nil), "dead-letter exchange")
	check(channel.ExchangeDeclare(name, "topic", true, false, false, false, nil), "exchange")
	arguments := amqp.Table{
		"x-dead-letter-exchange":    "eventbus.dead.v1",
		"x-dead-letter-routing-key": name,
		"x-queue-type":              queueType,
	}
	if queueType == "quorum" {
		arguments["x-dead-letter-strategy"] = "at-least-once"
		arguments["x-overflow"] = "reject-publish"
		arguments["x-delivery-limit"] = int64(20)
	}
	_, err := channel.QueueDeclare(queue, true, false, false, false, arguments)
	check(err, "queue")
	check(channel.QueueBind(queue, topic, name, false, nil), "binding")
}

func publish(channel *amqp.Channel, exchange string, events int) {
	check(channel.Confirm(false), "confirm.select")
	start, cpu := time.Now(), cpuSeconds()
	inFlight := make(chan *amqp.DeferredConfirmation, window)
	done := make(chan bool)
	go func() {
		for confirmation := range inFlight {
			if !confirmation.Wait() {
				log.Fatal("rabbit-peer: an event was refused")
			}
		}
		done <- true
	}()
	for number := 0; number < events; number++ {
		value := newOrder(number)
		body, err := json.Marshal(value)
		check(err, "encoding")
		now := time.Now()
		confirmation, err := channel.PublishWithDeferredConfirmWithContext(context.Background(), exchange, topic, true, false,
			amqp.Publishing{
				ContentType:   "application/json",
				DeliveryMode:  amqp.Persistent,
				CorrelationId: value.ID,
				MessageId:     value.ID,
				Type:          topic,
				Timestamp:     now,
				Headers:       amqp.Table{"event-version": int64(1), "event-time": now.UTC().Format("2006-01-02T15:04:05.000Z")},
				Body:          body,
			})
		check(err, "publishing")
		inFlight <- confirmation
	}
	close(inFlight)
	<-done
	report("publish", events, start, cpu)
}

func consume(channel *amqp.Channel, queue string, events int) {
	check(channel.Qos(prefetch, 0, false), "basic.qos")
	cpu := cpuSeconds()
	deliveries, err := channel.Consume(queue, "peer", false, false, false, false, nil)
	check(err, "basic.consume")
	var start time.Time
	for number := 0; number < events; number++ {
		delivery := <-deliveries
		if number == 0 {
			start = time.Now()
		}
		var value order
		check(json.Unmarshal(delivery.Body, &value), "decoding")
		if len(value.Lines) != 3 {
			log.Fatal("rabbit-peer: an event lacks its lines")
		}
		check(delivery.Ack(false), "basic.ack")
	}
	check(channel.Cancel("peer", false), "basic.cancel")
	report("consume", events, start, cpu)
}

func main() {
	events := flag.Int("events", 100000, "")
	queueType := flag.String("queue-type", "quorum", "")
	name := flag.String("name", "peer", "")
	flag.Parse()
	url := os.Getenv("EVENTBUS_TEST_RABBITMQ_URL")
	if url == "" {
		log.Fatal("rabbit-peer: EVENTBUS_TEST_RABBITMQ_URL is not set; run under Scripts/brokers")
	}
	connection, err := amqp.Dial(url)
	check(err, "connecting")
	channel, err := connection.Channel()
	check(err, "opening a channel")
	queue := *name + ".bench-filler"
	declare(channel, *name, *queueType, queue)
	publish(channel, *name, *events)
	consume(channel, queue, *events)
	_, err = channel.QueueDelete(queue, false, false, false)
	check(err, "deleting the queue")
	check(connection.Close(), "closing")
}
