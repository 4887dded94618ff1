package dev.runwire;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class MailboxTest {
  private final AtomicInteger rooms = new AtomicInteger();
  private final Mailbox<Integer> mailbox = new Mailbox<>(4, rooms::incrementAndGet);

  @Test
  void producersHearThatItIsFullAndWhenThereIsRoomAgain() throws InterruptedException {
    assertTrue(mailbox.offer(1));
    assertTrue(mailbox.offer(2));
    assertTrue(mailbox.offer(3));
    assertFalse(mailbox.offer(4));
    assertFalse(mailbox.hasRoom());
    mailbox.take();
    assertEquals(0, rooms.get());
    mailbox.take();
    assertEquals(1, rooms.get());
    assertTrue(mailbox.hasRoom());
  }

  @Test
  void theEndComesAfterWhatIsQueued() throws InterruptedException {
    mailbox.offer(1);
    mailbox.end(RunwireException.cancelled("gone"));
    mailbox.offer(2);
    assertEquals(Optional.of(1), mailbox.take());
    assertThrows(RunwireException.CancelledException.class, mailbox::take);
  }

  @Test
  void aConsumerSeesEverythingInOrderAlsoWhatComesLater() {
    List<Integer> seen = new ArrayList<>();
    mailbox.offer(1);
    CompletableFuture<Void> done = mailbox.forEach(Runnable::run, seen::add);
    mailbox.offer(2);
    assertEquals(List.of(1, 2), seen);
    assertFalse(done.isDone());
    mailbox.end(null);
    done.join();
  }

  @Test
  void aConsumerThatThrowsEndsTheStream() {
    CompletableFuture<Void> done =
        mailbox.forEach(
            Runnable::run,
            item -> {
              throw new IllegalStateException("enough");
            });
    mailbox.offer(1);
    assertTrue(done.isCompletedExceptionally());
    assertFalse(mailbox.offer(2));
  }
}
